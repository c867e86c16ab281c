"""Workstation side of fer-edge: data sets, splits, training and evaluation."""

import os

os.environ.setdefault(
    "TF_CPP_MIN_LOG_LEVEL", "1"
)  # TensorFlow reads it when it is loaded: no lines of mere information
