"""Flags from a TOML file, for `fer-edge run --config`."""

import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from fer_edge.errors import UsageError
from fer_edge.options import Settings, did_you_mean, parse_value, split_annotation, without_none

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_flags_file(path: Path, settings: Settings) -> Settings:
    """Copy `settings` with the flags of a TOML file: `detect-every = 3` is --detect-every 3, `mirror = true` --mirror.

    Raises:
        UsageError: The file cannot be read, or a flag is unknown, of the wrong type or out of range.
    """
    where = f"--config {path}"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f'{where}: {reason}; it has lines such as: source = "0"') from error
    left = {name.replace("-", "_"): value for name, value in values.items()}
    settings = _with_flags(settings, left, where)
    if left:
        name = next(iter(left))
        hint = did_you_mean(name, _flag_names(settings))
        raise UsageError(f"{where}: no flag {name!r}; {hint}see: fer-edge run --help")
    return settings


def _with_flags(settings: Settings, values: dict[str, Any], where: str) -> Settings:
    """Take the fields of `settings`, and of those in it, out of `values`."""
    changed: dict[str, Any] = {}
    for column in fields(settings):
        now = getattr(settings, column.name)
        if is_dataclass(now) and not isinstance(now, type):
            changed[column.name] = _with_flags(now, values, where)
        elif column.name in values:
            kind, option = split_annotation(column.type)
            value = values.pop(column.name)
            value = str(value) if option.parse else value
            changed[column.name] = parse_value(
                Annotated[without_none(kind), option], value, f"{where}: {column.name.replace('_', '-')}"
            )
    return replace(settings, **changed)


def _flag_names(settings: Any) -> list[str]:
    pairs = [(column.name, getattr(settings, column.name)) for column in fields(settings)]
    return [name for field, value in pairs for name in (_flag_names(value) if is_dataclass(value) else [field])]
