"""What two or more services of Ballpark share, and nothing else."""
