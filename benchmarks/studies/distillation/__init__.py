"""Distillation of the expression models from a larger network: `faces`, then `views`, then `student`.

Beyer et al. 2022 (Knowledge distillation: a good teacher is patient and consistent): the student sees the very pixels
that the teacher answered for, for many epochs.
"""
