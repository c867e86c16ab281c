"""The text of the systemd unit for a command line of `run`. Reads and writes no file."""

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
from fer_edge.sources.address import is_address, masked

READ = frozenset({"config", "model", "detector_model"})
"""Paths behind these flags of `run` are read; behind all others something is written."""
SECRET = re.compile("token|password|secret|key")
"""Flags of `run` that are a secret whatever they hold; of the others, addresses with a password are."""

HARDENED = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
"""
"""What services of users may have, too. AF_NETLINK: libcamera hears of cameras by it, and getaddrinfo needs it."""
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
"""Not ProtectClock and not PrivateDevices: both take the cameras away (systemd issue 18142 for the former)."""


@dataclass(frozen=True)
class Given:
    """A command line of `fer-edge run`, made fit for a process that starts in another folder."""

    arguments: tuple[str, ...]
    """Without secrets; paths are absolute."""
    secrets: dict[str, str]
    """What stands in the environment instead, by the name of its variable."""
    read: tuple[Path, ...]
    written: tuple[Path, ...]
    """Folders."""


@dataclass(frozen=True)
class Unit:
    """All that the unit says."""

    python: str
    given: Given
    user: str | None
    """Whose rights it has; None for a service of a user."""
    group_video: bool
    """There is a group video, which may use the cameras."""
    secrets_file: Path
    memory_mb: int
    growing_pauses: bool

    @property
    def secrets(self) -> dict[str, str]:
        """What stands in the environment."""
        return self.given.secrets

    @property
    def written(self) -> tuple[Path, ...]:
        """Folders that it writes into."""
        return self.given.written


def read_flags(flags: Sequence[str], command: Any, folder: Path) -> Given:
    """Check flags of `fer-edge run` as it would itself, and make them fit for a unit.

    Args:
        flags: As they were typed.
        command: The command `run` of the Typer application.
        folder: What relative paths start from.

    Raises:
        UsageError: They make no sense in a service.
        typer's own: They make no sense at all.
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
            text = _plain(str(text))
            if _holds_path(hints[parameter.name]):
                text = os.path.normpath(folder / text)  # systemd takes no ".."
                path = Path(text)
                if parameter.name in READ:
                    read.append(_there(path, flag))
                else:
                    written.append(path if parameter.metavar == "DIR" else path.parent)
            elif parameter.name == "source":
                text = _source(text, folder)
            if SECRET.search(parameter.name) or ("://" in text and masked(text) != text):
                secrets[_variable(parameter, flag)] = text
            else:
                arguments += [flag, text]
    return Given(tuple(arguments), secrets, tuple(read), tuple(dict.fromkeys(written)))


def _check_page(values: dict[str, Any]) -> None:
    """Refuse a live page that nobody could open.

    Raises:
        UsageError: It would have another token after each start, or open a browser where nobody sits.
    """
    if values.get("show"):
        raise UsageError("--show is nothing for a service, which has no screen; type: --preview")
    host = values.get("preview_host", "localhost")
    reached = host != "localhost" and not host.startswith("127.") and host != "::1"
    if reached and not values.get("preview_token") and "FER_EDGE_PREVIEW_TOKEN" not in os.environ:
        add = f"--preview-token {token_hex(8)}"
        raise UsageError(f"--preview-host {host} needs a token, and each start would make another; add: {add}")


def _check_broker(values: dict[str, Any]) -> None:
    """Refuse a broker that is none, or that would turn the service away.

    Raises:
        UsageError: It is no address, or names a user and there is no password.
    """
    address = values.get("mqtt") or os.environ.get("FER_EDGE_MQTT")
    broker = parsed_broker(address) if address else None
    if broker and broker.user is not None and broker.password is None:
        raise UsageError(
            f"--mqtt names a user, and there is no password for it; type: read -rs {PASSWORD}; export {PASSWORD}, then "
            f"the same again (where that begins with sudo: sudo --preserve-env={PASSWORD})"
        )


def _holds_path(hint: Any) -> bool:
    """Log whether Path stands somewhere in a type."""
    return hint is Path or any(map(_holds_path, get_args(hint)))


def _plain(text: str) -> str:
    """Refuse what cannot stand in one line of a file.

    Raises:
        UsageError: There is a line break, another control character, or what is not UTF-8.
    """
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise UsageError(f"{text!a}: a line break or another sign that no unit can hold; rename it")
    return text


def _there(path: Path, flag: str) -> Path:
    if not path.is_file():
        raise UsageError(f"{flag} {path}: no such file; a service would start and fail for ever")
    return path


def _source(text: str, folder: Path) -> str:
    """Make a source absolute where it is a path or a pattern.

    Raises:
        UsageError: It is the standard input, which a service does not have.
    """
    if text == "-":
        raise UsageError("--source - does not work in a service, which has no standard input; name a camera")
    is_path = not is_address(text) and ("/" in text or any(sign in text for sign in "*?[") or (folder / text).exists())
    return os.path.normpath(folder / text) if is_path else text


def _variable(parameter: Any, flag: str) -> str:
    """Name the environment variable that stands for a flag.

    Raises:
        UsageError: There is none.
    """
    names = parameter.envvar
    if not names:
        raise UsageError(f"{flag} holds a password, which everybody could read in the list of processes; leave it out")
    return str(names if isinstance(names, str) else names[0])


def unit_text(unit: Unit) -> str:
    """Write the unit."""
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
    """What is run, how it ends, and how it begins again: always, but not after a mistake on the command line."""
    command = [f":{unit.python}", "-m", "fer_edge", "run", *unit.given.arguments]
    secrets = str(unit.secrets_file).replace("%", "%%")
    return [
        "Type=exec",
        f"ExecStart={' '.join(map(quoted, command))}",
        "WorkingDirectory=/",
        *([f"EnvironmentFile={secrets}"] if unit.secrets else []),
        "StandardOutput=null",
        "StandardError=journal",  # else it would go where stdout goes
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
    """What only root can arrange: whose rights it has, and which folders it sees how."""
    return [
        f"User={unit.user}",
        *(["SupplementaryGroups=video"] if unit.group_video else []),
        *HARDENED_BY_ROOT.splitlines(),
        f"PrivateTmp={'no' if _uses_temporary(unit) else 'yes'}",
        *([f"ReadWritePaths={' '.join(quoted(str(folder)) for folder in unit.written)}"] if unit.written else []),
    ]


def _uses_temporary(unit: Unit) -> bool:
    """Log whether it needs something of the machine's own /tmp, which PrivateTmp hides."""
    paths = [Path(unit.python), *unit.given.read, *unit.given.written]
    paths += [Path(text) for text in unit.given.arguments if text.startswith("/")]
    return any(path.parts[1:2] == ("tmp",) or path.parts[1:3] == ("var", "tmp") for path in paths)


def quoted(word: str) -> str:
    r"""Write one word for ExecStart= (behind a colon, which leaves $ alone) or a list of paths.

    >>> print(quoted("clip.mp4"), quoted('50 % of "all"'))
    clip.mp4 "50 %% of \"all\""
    """
    text = word.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def environment_text(variables: dict[str, str]) -> str:
    """Write an EnvironmentFile=."""
    escaped = {name: re.sub(r'(["\\`$])', r"\\\1", value) for name, value in variables.items()}
    return "".join(f'{name}="{value}"\n' for name, value in sorted(escaped.items()))
