"""fer-edge in an emulated Raspberry Pi userland."""
