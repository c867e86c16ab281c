"""From a Keras network to TFLite: calibration, ranges, conversion, fine-tuning."""
