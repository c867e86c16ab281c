"""Latency and throughput, compared with other packages and among our own variants."""
