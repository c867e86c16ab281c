"""What this machine is and has: processor, cameras, and what is wrong with it."""
