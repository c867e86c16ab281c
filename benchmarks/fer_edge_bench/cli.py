"""The command `fer-edge benchmark`; heavy imports happen only when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from fer_edge.options import JsonOption, takes, typed
from fer_edge_bench.settings import BenchmarkSettings

app = typer.Typer()


@app.command(name="benchmark")
@takes(BenchmarkSettings)
def benchmark_command(
    ctx: typer.Context,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--assert",
            metavar="CONDITION",
            help="Condition such as 'total.p90<50' (ms) or 'memory_mb<200'; exit with 5 if it fails.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report to this .json file.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure the latency of every stage on this machine, int8 and float32 side by side.

    Example: fer-edge benchmark --model edge.tflite --detector none --assert 'total.p90<50'
    """
    from fer_edge.console import console, print_json
    from fer_edge.files import write_json
    from fer_edge_bench.benchmark import benchmark, check
    from fer_edge_bench.figures import parse_assertion
    from fer_edge_bench.report import as_table, ratio_lines

    assertions = [parse_assertion(condition) for condition in conditions or []]
    report = benchmark(typed(BenchmarkSettings(), ctx), assertions)
    console.print(as_table(report))
    for line in ratio_lines(report):
        console.print(line)
    if out:
        write_json(out, report)
    if json:
        print_json(report)
    check(report)
