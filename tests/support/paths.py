"""Paths of the repository and of test models."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "data" / "tiny.tflite"
"""A 32 px int8 model of drawn faces with a contract, made by make_tiny_model.py."""
TINY_FLOAT = TINY.with_name("tiny_float32.tflite")
