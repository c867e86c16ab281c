"""`fer-edge cameras` and `fer-edge doctor`: flags only. Nothing heavy is imported before one of them runs."""

import typer

from fer_edge.options import JsonOption

app = typer.Typer()


@app.command()
def cameras(json: JsonOption = False) -> None:
    """List cameras, which process uses them, and what to type for each; exit 4 if there is none.

    Example: fer-edge cameras
    """
    from fer_edge.console import console, print_json
    from fer_edge.device.cameras import as_json, as_lines, find_cameras, what_to_do
    from fer_edge.device.machine import board
    from fer_edge.errors import SourceError

    found = find_cameras()
    for line in as_lines(found):
        console.print(line)
    if json:
        print_json(as_json(found))
    if not found.usable and not found.modules:
        raise SourceError(f"no camera; {what_to_do(found, board())}")


@app.command()
def doctor(json: JsonOption = False) -> None:
    """Check this machine for problems, with the command that fixes each; exit 1 if there is a fault.

    Example: fer-edge doctor
    """
    from rich.text import Text

    from fer_edge.console import console, print_json
    from fer_edge.device.doctor import as_json, as_line, is_healthy, judge
    from fer_edge.device.doctor_facts import collect

    facts = collect()
    findings = judge(facts)
    colours = {"ok": "green", "note": "yellow", "fault": "red"}
    for finding in findings:
        console.print(Text.assemble((f"{finding.verdict:<6}", colours[finding.verdict]), as_line(finding)))
    if json:
        print_json(as_json(facts, findings))
    if not is_healthy(findings):
        raise typer.Exit(1)
