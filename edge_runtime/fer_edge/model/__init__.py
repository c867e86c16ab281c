"""Model files: how they are packed, what they promise, and running them."""
