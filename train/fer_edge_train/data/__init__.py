"""Data sets: reading any known layout into one table, splitting it, cropping faces."""
