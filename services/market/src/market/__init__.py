"""A synthetic UK motor insurance market."""
