"""From frame to frame: which face is which, and what it expresses over time."""
