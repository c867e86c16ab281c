"""Robustness against kills, damaged model files and long runs."""
