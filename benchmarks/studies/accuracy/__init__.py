"""Accuracy of detectors, crops, quantisation and tracking."""
