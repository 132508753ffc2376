"""From risks and answers to arrays: what the data may look like, and how they are cut."""
