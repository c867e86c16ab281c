"""Recognize faces and their expressions in a frame."""
