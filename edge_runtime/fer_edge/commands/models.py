"""`fer-edge info` and `fer-edge selftest`: flags only. Nothing heavy is imported before one of them runs."""

from pathlib import Path
from typing import Annotated

import typer

from fer_edge.options import JsonOption

app = typer.Typer()

ModelArgument = Annotated[
    Path | None, typer.Argument(metavar="[MODEL]", help="A .tflite of fer-edge export; default: the bundled one.")
]


@app.command()
def info(model: ModelArgument = None, json: JsonOption = False) -> None:
    """Show a model file's contract: input, network, data, metrics. Without MODEL, all bundled ones.

    Example: fer-edge info runs/train/edge/export/model_int8.tflite
    """
    from fer_edge.console import console, print_json
    from fer_edge.inspection.info import as_json, as_table
    from fer_edge.inspection.models import read_any

    found = [read_any(path) for path in _models(model)]
    if json:
        documents = [as_json(one) for one in found]
        print_json(documents[0] if model else {"models": documents})
    else:
        for one in found:
            console.print(as_table(one))


@app.command()
def selftest(model: ModelArgument = None, json: JsonOption = False) -> None:
    """Run a model file's golden vectors on this machine; exit 1 if a result differs from the workstation's.

    Without MODEL, all bundled ones.

    Example: fer-edge selftest runs/train/edge/export/model_int8.tflite
    """
    from fer_edge.console import console, print_json
    from fer_edge.inspection.models import read_any, repeat_golden
    from fer_edge.inspection.selftest import as_json, as_text, check
    from fer_edge.native_logs import quiet

    with quiet():
        pairs = [(found, repeat_golden(found)) for found in map(read_any, _models(model))]
    for found, stages in pairs:
        console.print(f"{found.path}:")
        for stage in stages:
            console.print(f"  {as_text(stage)}")
    if json:
        documents = [as_json(found, stages) for found, stages in pairs]
        print_json(documents[0] if model else {"models": documents})
    for found, stages in pairs:
        check(found, stages)


def _models(given: Path | None) -> list[Path]:
    """Return the given model, or the bundled ones."""
    from fer_edge.detection.detector import BUNDLED_DETECTORS
    from fer_edge.recognition.classifier import BUNDLED

    return [given] if given else [BUNDLED, *BUNDLED_DETECTORS.values()]
