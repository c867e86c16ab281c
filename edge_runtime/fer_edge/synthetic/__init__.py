"""Drawn faces of no real person, for golden vectors, tests and the demo."""
