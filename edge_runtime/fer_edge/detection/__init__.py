"""Finding faces in a frame."""
