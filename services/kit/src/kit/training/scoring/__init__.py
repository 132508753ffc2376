"""Answers to a file of risks, on this machine or on Spark."""
