"""`fer-edge demo`: the whole workflow on drawn faces. Runs the other commands like a user, without importing them."""
