"""`fer-edge demo`: the whole loop on drawn faces. It runs the other commands as a user would and imports none."""
