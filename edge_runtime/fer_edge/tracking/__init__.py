"""Track faces across frames, and smooth their expressions over time."""
