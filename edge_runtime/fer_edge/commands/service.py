"""`fer-edge service`: flags only. Nothing heavy is imported before it runs."""

from typing import Annotated, Literal

import typer

from fer_edge.commands.run import app as run_app
from fer_edge.options import JsonOption

app = typer.Typer()


@app.command(context_settings={"ignore_unknown_options": True})  # what is meant for run; `--` is not insisted on
def service(
    action: Annotated[Literal["install", "status", "remove"], typer.Argument(help="What to do with it.")],
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="[-- FLAGS]", help="For install: what fer-edge run is to be given.")
    ] = None,
    user: Annotated[
        bool, typer.Option("--user", help="As a service of this user, without root; it runs while they are logged in.")
    ] = False,
    name: Annotated[str, typer.Option(help="Of the service; another one for each camera.")] = "fer-edge",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit on stdout and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Run fer-edge as a systemd service: from boot on, restarted when it fails, with its log in the journal.

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

    location = services.unit_location(user=user, name=name)
    if action == "install":
        plan = services.plan(flags or [], location, get_command(run_app))
        if dry_run:
            text = unit_text(plan)
            print_json({"unit": text, "secrets": sorted(plan.secrets)}) if json else typer.echo(text, nl=False)
            if plan.secrets:
                console.print(f"beside it would stand {location.secrets}, with {', '.join(sorted(plan.secrets))}")
            return
        report = services.install(plan, location, flags or [])
    else:
        if flags or dry_run:
            raise UsageError(f"service {action} takes neither flags for run nor --dry-run; leave them out")
        report = services.status(location) if action == "status" else services.remove(location)
    for line in report.lines:
        console.print(line)
    if json:
        print_json(report.facts)
    if not report.passed:
        raise typer.Exit(1)
