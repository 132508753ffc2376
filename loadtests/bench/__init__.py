"""How fast is the fleet, beside what a good engineer would write without a network? `make bench-fleet`."""
