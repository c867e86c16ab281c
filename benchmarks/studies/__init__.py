"""Measurements behind the figures in the docs, one script each: `python -m studies.accuracy.detectors`."""
