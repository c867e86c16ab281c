"""Looking into model files: `fer-edge info`, `fer-edge selftest`."""
