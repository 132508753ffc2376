"""The HTTP edge: what is let in, how it is understood, and how answers and refusals are written."""
