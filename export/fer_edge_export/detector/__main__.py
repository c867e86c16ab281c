"""python -m fer_edge_export.detector: create the bundled face detectors."""

from pathlib import Path
from typing import Annotated

import typer

from fer_edge.console import console
from fer_edge_export.detector.make import make_detectors

MODELS = Path("edge_runtime/fer_edge/models")


def main(out: Annotated[Path, typer.Option(help="Folder for both files.")] = MODELS) -> None:
    """Build YuNet from its published weights, quantise it, and write the int8 and the float16 file."""
    for path in make_detectors(out):
        console.print(f"wrote {path}")


if __name__ == "__main__":
    typer.run(main)
