"""This machine: processor, cameras, and diagnosis."""
