"""The commands of the runtime, one module per group: flags only."""
