"""A Raspberry Pi's userland, under emulation."""
