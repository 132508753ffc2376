"""What a person reads of a model: one page with pictures, and the card."""
