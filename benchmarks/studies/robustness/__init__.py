"""Kills, damaged model files, days of running."""
