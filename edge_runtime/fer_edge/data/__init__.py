"""Faces with labels, where they came from, and figures of merit."""
