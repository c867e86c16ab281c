"""What quantisation cost, and whether that is allowed."""
