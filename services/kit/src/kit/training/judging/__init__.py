"""How good is a model, for whom, and what is its word worth: calibration, figures, groups, limits."""
