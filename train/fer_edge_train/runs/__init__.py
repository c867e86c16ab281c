"""Run folders: their files, the list of runs and their comparison."""
