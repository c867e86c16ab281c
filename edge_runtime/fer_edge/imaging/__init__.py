"""Pixels: reading, colours, boxes, and the one crop rule."""
