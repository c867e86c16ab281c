"""Inspect model files: `fer-edge info`, `fer-edge selftest`."""
