"""From a frame to faces with their expressions."""
