"""Run folders: their files, listing and comparing them."""
