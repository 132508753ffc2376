"""The two-branch net: its parts, how it is fitted, and what is exported of it."""
