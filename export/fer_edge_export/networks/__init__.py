"""Keras networks: loading, adapting those of others, folding batch normalisation."""
