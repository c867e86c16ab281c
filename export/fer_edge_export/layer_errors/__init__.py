"""Which layers lose accuracy in int8."""
