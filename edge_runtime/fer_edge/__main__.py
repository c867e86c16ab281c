"""`python -m fer_edge`, the same as the script `fer-edge`."""

from fer_edge.cli import app

app(prog_name="fer-edge")
