"""Images: reading, colour conversion, boxes, face crops."""
