"""The commands of this package; nothing heavy is imported before one of them runs."""

import typer

app = typer.Typer()
