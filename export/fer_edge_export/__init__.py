"""Workstation side of fer-edge: from a trained network to a model file that proves itself."""
