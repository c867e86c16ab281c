"""`python -m fer_edge`, where the script `fer-edge` is not on the path."""

from fer_edge.cli import app

app(prog_name="fer-edge")
