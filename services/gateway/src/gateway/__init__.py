"""What the comparison website calls: per insurer, will it quote and at what price, inside a latency budget."""
