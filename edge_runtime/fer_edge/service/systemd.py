"""`fer-edge service`: install, query and remove the systemd service."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fer_edge.device.cameras import steady_names
from fer_edge.device.machine import limits_memory, memory_mb
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.files import make_folder, write_text
from fer_edge.service.location import NAME, UnitLocation, systemctl
from fer_edge.service.unit import Unit, environment_text, read_flags, unit_text
from fer_edge.sources.address import redact

MEMORY_MB = 1024
"""Memory limit of a service, or half the machine's memory: twice what photos of 64 million pixels need."""
STEPS_SINCE = 254
"""First systemd version with growing restart delays."""


@dataclass(frozen=True)
class Report:
    """Outcome of a command."""

    lines: list[str]
    facts: dict[str, Any] = field(default_factory=dict)
    passed: bool = True


def plan(flags: Sequence[str], location: UnitLocation, command: Any) -> Unit:
    """Return the unit that runs `fer-edge run` with `flags` on this machine, without writing it.

    The current FER_EDGE_... variables apply to the service, too. `command` is `run` as a Click command.

    Raises:
        UsageError: The flags are invalid for a service.
    """
    given = read_flags(flags, command, Path.cwd())
    return Unit(
        python=sys.executable,
        given=replace(given, secrets=_variables(flags) | given.secrets),
        user=None if location.for_user else service_user(),
        group_video=_has_group("video"),
        secrets_file=location.secrets,
        memory_mb=memory_limit_mb(),
        growing_pauses=pauses_can_grow(),
    )


def install(unit: Unit, location: UnitLocation, typed: Sequence[str] = ()) -> Report:
    """Write the unit, enable it at boot, and start it in place of a running one.

    Args:
        unit: The unit.
        location: Where to install it.
        typed: The flags as typed, for the command in an error message.

    Raises:
        FerEdgeError: There is no systemd, permission is missing, or systemctl fails.
    """
    require_systemd()
    _require_permission(location, "install", typed)
    _run_systemctl(location, "show", "--property=Version")  # before anything is written
    for folder in unit.written:
        _make_folder_of(folder, unit.user)
    with _private_umask():
        if unit.secrets:
            write_text(location.secrets, environment_text(unit.secrets))
        else:
            location.secrets.unlink(missing_ok=True)
    write_text(location.unit, unit_text(unit))
    _run_systemctl(location, "daemon-reload")
    _run_systemctl(location, "enable", location.unit.name)
    _run_systemctl(location, "restart", location.unit.name)
    return Report(_installed_lines(unit, location), {"unit": str(location.unit), "secrets": sorted(unit.secrets)})


def _installed_lines(unit: Unit, location: UnitLocation) -> list[str]:
    lines = [f"wrote {location.unit}"]
    if unit.secrets:
        reader = "you" if location.for_user else "root"
        lines.append(f"wrote {location.secrets}, which only {reader} can read: {', '.join(sorted(unit.secrets))}")
    lingers = location.for_user and Path("/var/lib/systemd/linger", _user_name(os.geteuid())).exists()
    again = "each login" if location.for_user and not lingers else "boot"
    lines.append(f"it runs now, and from {again} on; look: fer-edge service status{location.flags}")
    if again != "boot":
        user = _user_name(os.geteuid())
        lines.append(f"it ends with your last login; from boot on: sudo loginctl enable-linger {user}")
    number = re.search(r"--source ([0-9]+)(?: |$)", " ".join(unit.given.arguments))
    if number and (link := steady_names().get(f"/dev/video{number[1]}")):
        lines.append(f"a camera's number may change at the next boot; use its permanent name: --source {link}")
    if unit.user == "root":
        lines.append("it runs as root, because root owns this installation; a user's environment is safer")
    if limits_memory() is False:
        lines.append(f"its memory limit of {unit.memory_mb} MB has no effect on this kernel; type: fer-edge doctor")
    return lines


def status(location: UnitLocation) -> Report:
    """Query the state of the service; passed if it is active.

    Raises:
        FerEdgeError: There is no systemd, or the service is not installed.
    """
    require_systemd()
    wanted = "LoadState,ActiveState,SubState,UnitFileState,NRestarts,Result,StateChangeTimestamp"
    answer = _run_systemctl(location, "show", location.unit.name, f"--property={wanted}")
    properties = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    if properties.get("LoadState") == "not-found":
        raise FerEdgeError(
            f"the service is not installed; type: fer-edge service install{location.flags} -- --source 0"
        )
    state, inner = properties.get("ActiveState", "unknown"), properties.get("SubState", "unknown")
    parts = [f"{location.unit.name}: {state} ({inner}) since {properties.get('StateChangeTimestamp') or 'boot'}"]
    parts.append(properties.get("UnitFileState") or "not enabled")
    parts.append(f"{properties.get('NRestarts', '0')} restarts")
    if properties.get("Result", "success") != "success":
        parts.append(f"last result: {properties['Result']}")
    lines = [", ".join(parts), f"log: journalctl{location.flag} -u {location.name} -n 20 --no-pager"]
    if location.secrets.exists():
        lines.append(f"passwords and tokens: {location.secrets}; to change them, install again")
    return Report(lines, {"unit": str(location.unit), **properties}, state == "active")


def remove(location: UnitLocation) -> Report:
    """Stop the service and delete its files, if there are any.

    Raises:
        FerEdgeError: Permission is missing, or systemctl fails.
    """
    files = [path for path in (location.unit, location.secrets) if path.exists()]
    if not files:
        return Report([f"nothing to remove: {location.unit} does not exist"], {"removed": []})
    require_systemd()
    _require_permission(location, "remove")
    if location.unit in files:
        _run_systemctl(location, "disable", "--now", location.unit.name)
    for path in files:
        path.unlink()
    _run_systemctl(location, "daemon-reload")
    location.systemctl(["reset-failed", location.unit.name])  # fails if it had not failed
    return Report([f"stopped and removed {' and '.join(map(str, files))}"], {"removed": [str(path) for path in files]})


def service_user() -> str:
    """Return the user of a machine's service: the one who typed sudo, or the owner of the environment."""
    return os.environ.get("SUDO_USER") or _user_name(Path(sys.prefix).stat().st_uid)


def memory_limit_mb() -> int:
    """Return the memory limit of the service on this machine."""
    return int(min(MEMORY_MB, memory_mb().get("MemTotal", 2 * MEMORY_MB) / 2))


def pauses_can_grow() -> bool:
    """Return whether systemd supports growing restart delays."""
    if not shutil.which("systemctl"):
        return False
    words = systemctl(["--version"]).stdout.split()
    return len(words) > 1 and words[1].isdigit() and int(words[1]) >= STEPS_SINCE


def require_systemd(booted: Path = Path("/run/systemd/system")) -> None:
    """Check that this machine was booted with systemd, which creates `booted`.

    Raises:
        FerEdgeError: It was not.
    """
    if not booted.is_dir() or not shutil.which("systemctl"):
        raise FerEdgeError(
            "this machine was not booted with systemd; print the unit with --dry-run, or start fer-edge run from "
            "another service manager"
        )


def _require_permission(location: UnitLocation, action: str, flags: Sequence[str] = ()) -> None:
    """Check the permission to install there.

    Raises:
        FerEdgeError: Root is required, or must not be used.
    """
    command = f"{action}{location.flags}" + (f" -- {shlex.join(map(redact, flags))}" if flags else "")
    if location.for_user and os.environ.get("SUDO_USER"):
        raise UsageError(f"--user does not work with sudo; type, without sudo: {_program()} service {command}")
    if not location.for_user and os.geteuid() != 0:
        names = ",".join(sorted(_variables(flags)))  # sudo would drop them
        sudo = f"sudo --preserve-env={names}" if names and action == "install" else "sudo"
        raise FerEdgeError(f"a system service needs root; type: {sudo} {_program()} service {command}")


def _variables(flags: Sequence[str]) -> dict[str, str]:
    """Return the environment variables of fer-edge, and with TLS that of the trusted certificates."""
    secure = any("mqtts://" in text for text in (*flags, os.environ.get("FER_EDGE_MQTT", "")))
    names = "FER_EDGE_|SSL_CERT_FILE$" if secure else "FER_EDGE_"
    return {name: value for name, value in os.environ.items() if re.match(names, name)}


def _program() -> str:
    """Return the full command for fer-edge, since sudo does not search this environment."""
    script = Path(sys.argv[0]).absolute()
    return shlex.quote(str(script)) if script.name == NAME else f"{shlex.quote(sys.executable)} -m fer_edge"


def _make_folder_of(folder: Path, user: str | None) -> None:
    """Create an output folder of the service; new folders are owned by `user`."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    if user and new:
        import pwd

        owner = pwd.getpwnam(user)
        for path in new:
            os.chown(path, owner.pw_uid, owner.pw_gid)


@contextmanager
def _private_umask() -> Iterator[None]:
    """Create files within the block without permissions for other users."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _run_systemctl(location: UnitLocation, *words: str) -> str:
    """Run systemctl and return its output.

    Raises:
        FerEdgeError: It fails.
    """
    finished = location.systemctl(words)
    if finished.returncode:
        message = " ".join(finished.stderr.split()) or f"exit code {finished.returncode}"
        if location.for_user and "connect to bus" in message:
            message += "; log in as this user (ssh, not su), or type: export XDG_RUNTIME_DIR=/run/user/$(id -u)"
        raise FerEdgeError(f"systemctl{location.flag} {' '.join(words)}: {message}")
    return finished.stdout


def _has_group(name: str) -> bool:
    import grp

    return any(group.gr_name == name for group in grp.getgrall())


def _user_name(user_id: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)
