"""Quantisation errors by layer, and advice."""
