"""Models as C headers for TensorFlow Lite Micro."""
