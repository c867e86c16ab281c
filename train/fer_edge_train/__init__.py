"""Workstation side of fer-edge: data sets, splits, training and evaluation."""
