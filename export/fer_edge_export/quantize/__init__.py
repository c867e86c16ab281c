"""Keras to TFLite: calibration, ranges, conversion, fine-tuning."""
