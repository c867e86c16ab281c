"""How right: detectors, crops, quantisation, tracking."""
