"""What is known of a car or an area before the request comes: written by a job, read with one MGET."""
