"""Judging a model on faces."""
