"""Latency and memory of a model on this machine, stage by stage."""
