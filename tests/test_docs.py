"""The README and the help texts keep up with the commands."""

import re

import pytest
import typer

from fer_edge.cli import app
from make_reference import PAGE, page
from support.paths import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"fer-edge {name}\b", README), f"README.md shows no `fer-edge {name}`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(name: str) -> None:
    assert f"Example: fer-edge {name}" in COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_speaks_json(name: str) -> None:
    assert "--json" in {flag for parameter in COMMANDS[name].params for flag in parameter.opts}


def test_the_reference_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == page(), "write docs/reference.md again: python tests/make_reference.py"


@pytest.mark.parametrize("line", sorted(set(re.findall(rf"fer-edge (?:{'|'.join(COMMANDS)}) [^\n`#]+", README))))
def test_every_command_line_in_the_readme_can_be_typed(line: str) -> None:
    own, _, of_run = line.partition(" -- ")  # as in: fer-edge service install -- --source 0
    for name, part in ((line.split()[1], own), ("run", of_run)):
        flags = {flag for parameter in COMMANDS[name].params for flag in (*parameter.opts, *parameter.secondary_opts)}
        assert set(re.findall(r"(?<!\S)--[a-z][a-z-]+", part)) <= flags


@pytest.mark.parametrize("package", ["edge_runtime/fer_edge", "train/fer_edge_train", "export/fer_edge_export"])
def test_every_room_is_in_the_architecture_page(package: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = sorted(init.parent.name for init in (ROOT / package).glob("*/__init__.py"))

    assert [room for room in rooms if f"`{room}/`" not in page] == []
    assert len([*(ROOT / package).glob("*.py")]) <= 12
