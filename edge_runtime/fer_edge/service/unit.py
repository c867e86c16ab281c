"""Generate the systemd unit for a command line of `run`, without writing files."""

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, get_args, get_type_hints

from fer_edge.errors import UsageError
from fer_edge.sinks.mqtt_broker import PASSWORD, parsed_broker
from fer_edge.sources.address import is_address, redact

READ = frozenset({"config", "model", "detector_model"})
"""Paths behind these flags of `run` are read; behind all others something is written."""
SECRET = re.compile("token|password|secret|key")
"""Flags of `run` whose values are always secret; otherwise only addresses with a password are."""

HARDENED = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
"""
"""Hardening for all services. AF_NETLINK: libcamera's hotplug and getaddrinfo need it."""
HARDENED_BY_ROOT = """\
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
"""
"""Without ProtectClock and PrivateDevices, which block cameras (systemd issue 18142 for the former)."""


@dataclass(frozen=True)
class Given:
    """A command line of `fer-edge run`, with absolute paths and without secrets."""

    arguments: tuple[str, ...]
    """Arguments with absolute paths and without secrets."""
    secrets: dict[str, str]
    """Secrets by the name of their environment variable."""
    read: tuple[Path, ...]
    written: tuple[Path, ...]
    """Output folders."""


@dataclass(frozen=True)
class Unit:
    """The contents of the unit."""

    python: str
    given: Given
    user: str | None
    """User that a system service runs as; None for a user service."""
    group_video: bool
    """Whether the system has a group video, which may use the cameras."""
    secrets_file: Path
    memory_mb: int
    growing_pauses: bool

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets by the name of their environment variable."""
        return self.given.secrets

    @property
    def written(self) -> tuple[Path, ...]:
        """Output folders."""
        return self.given.written


def read_flags(flags: Sequence[str], command: Any, folder: Path) -> Given:
    """Validate flags of `fer-edge run`, and convert them for a unit.

    Args:
        flags: The flags as typed.
        command: The command `run` of the Typer application.
        folder: Base of relative paths.

    Raises:
        UsageError: They are invalid for a service.
        click.ClickException: They are invalid for `fer-edge run`.
    """
    context = command.make_context("fer-edge run", list(flags))
    hints = get_type_hints(command.callback)
    values, _, given = command.make_parser(context).parse_args(list(flags))
    if (place := values.pop("place")) is not None:
        if "source" in values:
            raise UsageError(f"give one source: {place}, or --source {values['source']}")
        values["source"] = place
        given.append(next(parameter for parameter in command.params if parameter.name == "source"))
    given = [parameter for parameter in given if parameter.name != "place"]
    _check_page(values)
    _check_broker(values)
    arguments: list[str] = []
    secrets: dict[str, str] = {}
    read, written = [], []
    for parameter in dict.fromkeys(given):
        value, flag = values[parameter.name], max(parameter.opts, key=len)
        if isinstance(value, bool):
            arguments.append(flag if value else max(parameter.secondary_opts, key=len))
            continue
        for text in value if isinstance(value, list) else [value]:
            text = _require_printable(str(text))
            if _holds_path(hints[parameter.name]):
                text = os.path.normpath(folder / text)  # systemd rejects ".."
                path = Path(text)
                if parameter.name in READ:
                    read.append(_existing(path, flag))
                else:
                    written.append(path if parameter.metavar == "DIR" else path.parent)
            elif parameter.name == "source":
                text = _absolute_source(text, folder)
            if SECRET.search(parameter.name) or ("://" in text and redact(text) != text):
                secrets[_variable(parameter, flag)] = text
            else:
                arguments += [flag, text]
    return Given(tuple(arguments), secrets, tuple(read), tuple(dict.fromkeys(written)))


def _check_page(values: dict[str, Any]) -> None:
    """Reject a live page that cannot be opened.

    Raises:
        UsageError: It would open a browser, or generate a new token at each start.
    """
    if values.get("show"):
        raise UsageError("--show does not work in a service, which has no screen; type: --preview")
    host = values.get("preview_host", "localhost")
    public = host != "localhost" and not host.startswith("127.") and host != "::1"
    if public and not values.get("preview_token") and "FER_EDGE_PREVIEW_TOKEN" not in os.environ:
        add = f"--preview-token {token_hex(8)}"
        raise UsageError(f"--preview-host {host} needs a token, and each start would generate a new one; add: {add}")


def _check_broker(values: dict[str, Any]) -> None:
    """Reject an invalid broker address, or one with a user but without a password.

    Raises:
        UsageError: It is invalid, or the password is missing.
    """
    address = values.get("mqtt") or os.environ.get("FER_EDGE_MQTT")
    broker = parsed_broker(address) if address else None
    if broker and broker.user is not None and broker.password is None:
        raise UsageError(
            f"--mqtt has a user but no password; type: read -rs {PASSWORD}; export {PASSWORD}, then this command again "
            f"(with sudo: sudo --preserve-env={PASSWORD})"
        )


def _holds_path(hint: Any) -> bool:
    """Return whether a type contains Path."""
    return hint is Path or any(map(_holds_path, get_args(hint)))


def _require_printable(text: str) -> str:
    """Reject characters that a unit file cannot contain.

    Raises:
        UsageError: The text has control characters, such as a line break, or invalid UTF-8.
    """
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise UsageError(f"{text!a}: a unit cannot contain line breaks, control characters or invalid UTF-8; rename it")
    return text


def _existing(path: Path, flag: str) -> Path:
    if not path.is_file():
        raise UsageError(f"{flag} {path}: no such file; the service would fail at every start")
    return path


def _absolute_source(text: str, folder: Path) -> str:
    """Make the path of a source absolute.

    Raises:
        UsageError: It is standard input, which a service does not have.
    """
    if text == "-":
        raise UsageError("--source - does not work in a service, which has no standard input; use a camera")
    is_path = not is_address(text) and ("/" in text or any(sign in text for sign in "*?[") or (folder / text).exists())
    return os.path.normpath(folder / text) if is_path else text


def _variable(parameter: Any, flag: str) -> str:
    """Return the environment variable of a flag.

    Raises:
        UsageError: It has none.
    """
    names = parameter.envvar
    if not names:
        raise UsageError(f"{flag} contains a password, which the process list would show; remove it")
    return str(names if isinstance(names, str) else names[0])


def unit_text(unit: Unit) -> str:
    """Return the text of the unit."""
    lines = [
        "# Written by: fer-edge service install. Your own changes go into: systemctl edit fer-edge",
        "[Unit]",
        "Description=fer-edge, facial expressions from a camera",
        *(["After=network-online.target"] if unit.user else []),
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        *_service_lines(unit),
        *HARDENED.splitlines(),
        *(_root_lines(unit) if unit.user else []),
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if unit.user else 'default.target'}",
    ]
    return "\n".join(lines) + "\n"


def _service_lines(unit: Unit) -> list[str]:
    """Command, stop and restart settings; no restart after a usage error."""
    command = [f":{unit.python}", "-m", "fer_edge", "run", *unit.given.arguments]
    secrets = str(unit.secrets_file).replace("%", "%%")
    return [
        "Type=exec",
        f"ExecStart={' '.join(map(quoted, command))}",
        "WorkingDirectory=/",
        *([f"EnvironmentFile={secrets}"] if unit.secrets else []),
        "StandardOutput=null",
        "StandardError=journal",  # would follow stdout by default
        "SyslogIdentifier=fer-edge",
        "KillSignal=SIGTERM",
        "TimeoutStopSec=10",
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "RestartSec=5",
        *(["RestartSteps=6", "RestartMaxDelaySec=300"] if unit.growing_pauses else []),
        f"MemoryMax={unit.memory_mb}M",
    ]


def _root_lines(unit: Unit) -> list[str]:
    """Settings that only root can make: user, groups and folder access."""
    return [
        f"User={unit.user}",
        *(["SupplementaryGroups=video"] if unit.group_video else []),
        *HARDENED_BY_ROOT.splitlines(),
        f"PrivateTmp={'no' if _uses_temporary(unit) else 'yes'}",
        *([f"ReadWritePaths={' '.join(quoted(str(folder)) for folder in unit.written)}"] if unit.written else []),
    ]


def _uses_temporary(unit: Unit) -> bool:
    """Return whether it uses the system's /tmp, which PrivateTmp hides."""
    paths = [Path(unit.python), *unit.given.read, *unit.given.written]
    paths += [Path(text) for text in unit.given.arguments if text.startswith("/")]
    return any(path.parts[1:2] == ("tmp",) or path.parts[1:3] == ("var", "tmp") for path in paths)


def quoted(word: str) -> str:
    r"""Quote one word for ExecStart= (after a colon, which disables $) or a list of paths.

    >>> print(quoted("clip.mp4"), quoted('50 % of "all"'))
    clip.mp4 "50 %% of \"all\""
    """
    text = word.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def environment_text(variables: dict[str, str]) -> str:
    """Return the text of an EnvironmentFile=."""
    escaped = {name: re.sub(r'(["\\`$])', r"\\\1", value) for name, value in variables.items()}
    return "".join(f'{name}="{value}"\n' for name, value in sorted(escaped.items()))
