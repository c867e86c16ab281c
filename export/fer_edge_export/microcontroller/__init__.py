"""C headers for TensorFlow Lite Micro."""
