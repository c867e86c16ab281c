"""Commands about the machine itself: flags only. Nothing heavy is imported before one of them runs."""

from typing import Annotated, Any, Literal, cast

import typer

from fer_edge.commands.run import app as run_app
from fer_edge.options import JsonOption

app = typer.Typer()


@app.command()
def cameras(json: JsonOption = False) -> None:
    """Show which cameras there are, who holds them, and what to type for each; exit 4 where there is none.

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
    """Look for what is wrong with this machine, with the one command that mends it; exit 1 if there is a fault.

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


@app.command(context_settings={"ignore_unknown_options": True})  # what is meant for run; `--` is not insisted on
def service(
    action: Annotated[Literal["install", "status", "remove"], typer.Argument(help="What to do with it.")],
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="[-- FLAGS]", help="For install: what fer-edge run is to be given.")
    ] = None,
    user: Annotated[
        bool, typer.Option("--user", help="As a service of this user, without root; it runs while they are logged in.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit on stdout and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Let systemd run fer-edge from boot on, start it again when it fails, and keep its log.

    It has the rights of the user who typed sudo, and writes only into the folders that FLAGS name, as does a command of
    --on-change. Passwords and tokens go into a file that only root (or the user) can read. Its stdout goes nowhere:
    results go to MQTT, the page or a file; messages go to the log.

    Example: fer-edge service install -- --source 0 --preview
    """
    from typer.main import get_command

    from fer_edge.console import console, print_json
    from fer_edge.errors import UsageError
    from fer_edge.service import systemd as services
    from fer_edge.service.unit import unit_text

    place = services.place(user=user)
    if action == "install":
        plan = services.plan(flags or [], place, cast(Any, get_command(run_app)).commands["run"])
        if dry_run:
            text = unit_text(plan)
            print_json({"unit": text, "secrets": sorted(plan.secrets)}) if json else typer.echo(text, nl=False)
            if plan.secrets:
                console.print(f"beside it would stand {place.secrets}, with {', '.join(sorted(plan.secrets))}")
            return
        report = services.install(plan, place, flags or [])
    else:
        if flags or dry_run:
            raise UsageError(f"service {action} takes neither flags for run nor --dry-run; leave them out")
        report = services.status(place) if action == "status" else services.remove(place)
    for line in report.lines:
        console.print(line)
    if json:
        print_json(report.facts)
    if not report.passed:
        raise typer.Exit(1)
