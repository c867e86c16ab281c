"""Accuracy of quantised models: comparison with float32, and the gate."""
