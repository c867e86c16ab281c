"""Training of the face detector: photos with marked faces to a network that finds them."""
