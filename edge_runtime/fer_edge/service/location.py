"""Where a systemd unit is, and how systemctl is asked about it."""

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.files import expanded

NAME = "fer-edge"
Systemctl = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class UnitLocation:
    """Where units are installed: for the machine or for this user."""

    folder: Path
    """Folder of the unit."""
    for_user: bool
    """Whether it is a user service (`systemctl --user`)."""
    systemctl: Systemctl
    name: str = NAME
    """Of the service, one for each camera."""

    @property
    def unit(self) -> Path:
        """The unit."""
        return self.folder / f"{self.name}.service"

    @property
    def secrets(self) -> Path:
        """What may be read by its owner only."""
        return self.folder / f"{self.name}.env"

    @property
    def flag(self) -> str:
        """What systemctl and journalctl want to be told."""
        return " --user" if self.for_user else ""

    @property
    def flags(self) -> str:
        """What `fer-edge service` wants to be told."""
        return self.flag + (f" --name {self.name}" if self.name != NAME else "")


def unit_location(*, user: bool, name: str = NAME) -> UnitLocation:
    """Find out where the units of this user, or of the machine, are.

    Raises:
        UsageError: `name` is none of a unit, or this user has no home folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", name) or name.startswith("."):
        raise UsageError(f"--name {name}: a service's name has letters, digits, - _ and . only, such as fer-edge-door")
    if not user:
        return UnitLocation(Path("/etc/systemd/system"), False, lambda words: systemctl(words), name)
    home = expanded(Path("~"))
    if not (given := os.environ.get("XDG_CONFIG_HOME")) and home == Path("~"):
        raise UsageError("--user: this user has no home folder; type: export HOME=/home/NAME")
    folder = Path(given or home / ".config") / "systemd/user"
    return UnitLocation(folder, True, lambda words: systemctl(["--user", *words]), name)


def systemctl(words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run systemctl with `words` and return what it printed, whatever its exit code."""
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, errors="replace")
