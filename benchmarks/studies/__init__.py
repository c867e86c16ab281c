"""Scripts that measure the figures in the docs, run as `python -m studies.accuracy.detectors`."""
