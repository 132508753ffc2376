"""From a risk to an answer: what is asked of whom, within the deadline, and how the parts become one answer."""
