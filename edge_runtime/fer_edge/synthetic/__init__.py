"""Drawn faces: pictures of nobody, for golden vectors, tests and the demo."""
