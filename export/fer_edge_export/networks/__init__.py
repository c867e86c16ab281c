"""Keras networks: loading, adapting third-party ones, folding batch normalisation."""
