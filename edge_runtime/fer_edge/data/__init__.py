"""Labelled faces, their provenance, and metrics."""
