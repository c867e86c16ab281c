"""Settings from a `--config` file, from a run's `config.json` and from flags.

Knows no setting by name: the fields of a dataclass say which there are, of what type, and within which limits.
"""

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

from fer_edge.errors import UsageError
from fer_edge.files import write_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Within:
    """Least and greatest value of a number: `epochs: Annotated[int, Within(1, 1000)] = 60`."""

    least: float
    most: float


Share = Annotated[float, Within(0, 1)]
Settings = TypeVar("Settings", bound="DataclassInstance")
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def read_config_file(path: Path, defaults: Settings) -> Settings:
    """Read settings from a YAML file whose keys are the fields of `defaults`; what it leaves out keeps its default.

    Args:
        path: The file.
        defaults: A dataclass with a default for every field; a field that is a dataclass has fields of its own.

    Raises:
        UsageError: The file cannot be read, names an unknown field, or a value is of the wrong type or out of range.
    """
    import yaml  # part of the train extra; the command line looks up limits without it

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(f"--config {path}: {reason}; examples lie in train/configs") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config {path}: needed are lines such as 'epochs: 100'")
    return filled(defaults, values, f"--config {path}")


def write_config_file(path: Path, settings: "DataclassInstance", remark: str) -> None:
    """Write `settings` as the file that `read_config_file` reads back, with `remark` as its first line."""
    import yaml

    write_text(path, f"# {remark}\n{yaml.safe_dump(asdict(settings), sort_keys=False, allow_unicode=True)}")


def filled(settings: Settings, values: dict[str, Any], where: str) -> Settings:
    """Copy `settings`, a dataclass, with plain `values` for some of its fields, as YAML and JSON hold them.

    Raises:
        UsageError: A field is unknown, or a value of the wrong type or out of range; `where` says whose.
    """
    known = {column.name: column for column in fields(settings)}
    changed = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{where}: no field {name!r}; {did_you_mean(name, known)}there are {', '.join(known)}")
        now = getattr(settings, name)
        if not is_dataclass(now) or isinstance(now, type):
            changed[name] = _judged(known[name].type, value, f"{where}: {name}")
        elif isinstance(value, dict):
            changed[name] = filled(now, value, f"{where}: {name}")
        elif value is not None:
            first = fields(now)[0].name
            raise UsageError(f"{where}: {name} takes fields of its own, such as '{first}: {getattr(now, first)}'")
    return replace(settings, **changed)


def with_flags(settings: Settings, flags: dict[str, Any]) -> Settings:
    """Copy `settings` with the values of `flags`, by the names of fields; those of nested settings lie there, too."""
    changed = {}
    for column in fields(settings):
        now = getattr(settings, column.name)
        if is_dataclass(now) and not isinstance(now, type):
            changed[column.name] = with_flags(now, flags)
        elif column.name in flags:
            changed[column.name] = flags[column.name]
    return replace(settings, **changed)


def limits(settings: "type[DataclassInstance]", name: str) -> Within:
    """Least and greatest value of the field `name`, a number with limits, of the dataclass `settings`."""
    [within] = [_taken_apart(column.type)[1] for column in fields(settings) if column.name == name]
    if within is None:
        raise ValueError(f"{name} has no limits")
    return within


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Guess what was meant by `name`: "did you mean 'epochs'? ", or nothing.

    >>> did_you_mean("epoch", ["data", "epochs"])
    "did you mean 'epochs'? "
    """
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def _taken_apart(annotation: Any) -> tuple[Any, Within | None]:
    """The type of a field, and its limits."""
    if get_origin(annotation) is not Annotated:
        return annotation, None
    kind, *remarks = get_args(annotation)
    return kind, next((remark for remark in remarks if isinstance(remark, Within)), None)


def _judged(annotation: Any, value: Any, where: str) -> Any:
    """`value` as the field's type has it."""
    kind, within = _taken_apart(annotation)
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            raise UsageError(f"{where} is {' or '.join(choices)}, not {value!r}")
        return value
    if get_origin(kind) is tuple:  # of any length; one alone needs no list
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_judged(get_args(kind)[0], each, where) for each in values)
    kinds = get_args(kind) or (kind,)  # str | None
    if value is None and type(None) in kinds:
        return None
    kind = kinds[0]
    if kind is float and type(value) in (int, str):  # YAML takes 1e-3, which has no point, for a text
        value = _number(value)
    if type(value) is not kind:
        raise UsageError(f"{where} is {KINDS[kind]}, not {value!r}")
    if within and not within.least <= value <= within.most:
        raise UsageError(f"{where} is from {within.least} to {within.most}, not {value!r}")
    return value


def _number(value: int | str) -> float | int | str:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return value
