"""`fer-edge service`: flags only. Nothing heavy is imported before it runs."""

from typing import Annotated, Literal

import typer

from fer_edge.commands.run import app as run_app
from fer_edge.options import JsonOption

app = typer.Typer()


@app.command(context_settings={"ignore_unknown_options": True})  # flags of run, also without `--`
def service(
    action: Annotated[
        Literal["install", "status", "remove"], typer.Argument(help="Install, show or remove the service.")
    ],
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="[-- FLAGS]", help="For install: flags of fer-edge run.")
    ] = None,
    user: Annotated[
        bool, typer.Option("--user", help="Install for this user, without root; runs while they are logged in.")
    ] = False,
    name: Annotated[str, typer.Option(help="Of the service; another one for each camera.")] = "fer-edge",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit on stdout and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Run fer-edge as a systemd service: from boot on, restarted when it fails, with its log in the journal.

    It runs as the user who typed sudo. It and its --on-change command can write only to the folders that FLAGS name.
    Passwords and tokens are stored in a file that only root (or the user) can read. Its stdout is discarded: results go
    to MQTT, the page or a file; messages go to the log.

    Example: fer-edge service install -- --source 0 --preview
    """
    from typer.main import get_command

    from fer_edge.console import console, print_json
    from fer_edge.errors import UsageError
    from fer_edge.service import systemd as services
    from fer_edge.service.location import unit_location
    from fer_edge.service.unit import unit_text

    location = unit_location(user=user, name=name)
    if action == "install":
        plan = services.plan(flags or [], location, get_command(run_app))
        if dry_run:
            text = unit_text(plan)
            print_json({"unit": text, "secrets": sorted(plan.secrets)}) if json else typer.echo(text, nl=False)
            if plan.secrets:
                console.print(f"would also write {location.secrets}, with {', '.join(sorted(plan.secrets))}")
            return
        report = services.install(plan, location, flags or [])
    else:
        if flags or dry_run:
            raise UsageError(f"service {action} takes neither flags of run nor --dry-run; remove them")
        report = services.status(location) if action == "status" else services.remove(location)
    for line in report.lines:
        console.print(line)
    if json:
        print_json(report.facts)
    if not report.passed:
        raise typer.Exit(1)
