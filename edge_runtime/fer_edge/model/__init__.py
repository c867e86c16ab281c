"""Model files: format, contract and inference."""
