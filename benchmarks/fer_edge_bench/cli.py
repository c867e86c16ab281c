"""The commands of this package; nothing heavy is imported before one of them runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer()


@app.command(name="benchmark")
def benchmark_command(
    model: Annotated[Path | None, typer.Option(help="Model file.", show_default="the bundled one")] = None,
    float_model: Annotated[
        Path | None,
        typer.Option(
            "--float", help="float32 model to time beside it.", show_default="model_float32.tflite next to it"
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Picture, folder, video or camera number.", show_default="drawn frames")
    ] = None,
    threads: Annotated[
        str, typer.Option(metavar="N|auto", help="Threads of the detector and the classifier; auto: as many as help.")
    ] = "1",
    warmup_runs: Annotated[int, typer.Option(min=0, help="Frames that are not counted.")] = 10,
    num_runs: Annotated[int, typer.Option(min=1, help="Frames that are.")] = 200,
    detector: Annotated[Literal["auto", "int8", "float16", "none"], typer.Option(help="Face detector.")] = "auto",
    detector_model: Annotated[Path | None, typer.Option(help="A face detector's file, or YuNet's.")] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--assert", metavar="CONDITION", help="'total.p90<50' (ms) or 'memory_mb<200'; else exit with 5."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report to this .json file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")] = False,
) -> None:
    """Measure what every stage takes on this machine, int8 and float32 side by side.

    Example: fer-edge benchmark --model edge.tflite --detector none --assert 'total.p90<50'
    """
    from fer_edge.console import console, print_json
    from fer_edge.device.processor import parsed_threads
    from fer_edge.files import write_json
    from fer_edge_bench.benchmark import BenchmarkSettings, benchmark, check
    from fer_edge_bench.figures import parse_assertion
    from fer_edge_bench.report import as_table, ratio_lines

    assertions = [parse_assertion(condition) for condition in conditions or []]
    settings = BenchmarkSettings(
        model, float_model, source, parsed_threads(threads), warmup_runs, num_runs, detector, detector_model
    )
    report = benchmark(settings, assertions)
    console.print(as_table(report))
    for line in ratio_lines(report):
        console.print(line)
    if out:
        write_json(out, report)
    if json:
        print_json(report)
    check(report)
