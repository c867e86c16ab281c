"""Settings as dataclasses: each field defines a setting, its flag, and its key in files.

    epochs: Annotated[int, Option(1, 1_000_000, help="Passes over the training faces.")] = 60

`takes` adds the flags of a dataclass to a command, `typed` reads them, `update_settings` reads YAML or JSON; all use
`parse_value` to check types and limits. This module knows no setting by name, except in `RENAMED`.
"""

import difflib
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer

from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RENAMED = {
    "blur": "gaussian_blur",
    "data_weights": "data_weight",
    "labels": "label_mode",
    "lr": "learning_rate",
    "min_confidence": "min_box_confidence",
    "size": "imgsz",
    "split": "test_split",
    "teachers": "teacher",
    "validation": "validation_split",
}
"""Former names of settings in version 0.1, found in its run folders and typed by its users."""


@dataclass(frozen=True)
class Option:
    """Additional information about a field, besides type and default."""

    least: float = -math.inf
    most: float = math.inf
    help: str = ""
    short: str = ""
    """A second flag, such as -s."""
    metavar: str = ""
    """Placeholder of its value; by default its choices, limits or type."""
    envvar: str | None = None
    """Environment variable with its value, if the flag is missing."""
    panel: str | None = None
    """Panel of `--help`; for a nested dataclass, the panel of its fields, by default its name."""
    parse: Callable[[str], Any] | None = None
    """Parses a string, instead of the type's parser."""


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Settings = TypeVar("Settings", bound="DataclassInstance")
Command = TypeVar("Command", bound=Callable[..., None])
KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string", Path: "a path"}
WORDS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}


def update_settings(settings: Settings, values: dict[str, Any], where: str) -> Settings:
    """Copy `settings`, a dataclass, with `values` from YAML or JSON for some of its fields.

    Raises:
        UsageError: A field is unknown, or a value has the wrong type or is out of range; `where` names its origin.
    """
    known = {column.name: column for column in fields(settings)}
    changed = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{where}: no field {name!r}; {did_you_mean(name, known)}fields: {', '.join(known)}")
        now = getattr(settings, name)
        if not is_dataclass(now) or isinstance(now, type):
            changed[name] = parse_value(known[name].type, value, f"{where}: {name}")
        elif isinstance(value, dict):
            changed[name] = update_settings(now, value, f"{where}: {name}")
        elif value is not None:
            first = fields(now)[0].name
            raise UsageError(f"{where}: {name} needs nested fields, such as '{first}: {getattr(now, first)}'")
    return replace(settings, **changed)


def migrated(values: dict[str, Any]) -> dict[str, Any]:
    """Rename settings written by version 0.1 to their current names.

    >>> migrated({"size": 48, "augmentation": {"blur": 0.1}})
    {'imgsz': 48, 'augmentation': {'gaussian_blur': 0.1}}
    """
    return {
        RENAMED.get(name, name): migrated(value) if isinstance(value, dict) else value for name, value in values.items()
    }


def did_you_mean(name: Any, known: Collection[str]) -> str:
    """Suggest a known name for `name`: "did you mean 'epochs'? ", or "".

    >>> did_you_mean("epoch", ["data", "epochs"]), did_you_mean("lr", ["learning_rate"])
    ("did you mean 'epochs'? ", "did you mean 'learning_rate'? ")
    >>> did_you_mean("--lr", ["--learning-rate"]), did_you_mean("--speed", ["--preview"])
    ('did you mean --learning-rate? ', '')
    """
    flags, name = str(name).startswith("-"), str(name).lstrip("-").replace("-", "_")
    names = {each.lstrip("-").replace("-", "_"): each for each in known}
    close = [RENAMED[name]] if RENAMED.get(name) in names else difflib.get_close_matches(name, names, n=1)
    return f"did you mean {names[close[0]] if flags else repr(close[0])}? " if close else ""


def parse_value(annotation: Any, value: Any, where: str) -> Any:
    """Convert `value`, a YAML value or string, to the type of `annotation`, which may contain an `Option`.

    Raises:
        UsageError: It has the wrong type or is out of range; `where` names its origin.
    """
    declared, option = split_annotation(annotation)
    kind = without_none(declared)
    if value is None and kind is not declared:
        return None
    if option.parse and isinstance(value, str):
        return option.parse(value)
    if get_origin(kind) is tuple:  # of any length; a single value needs no list
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(parse_value(Annotated[get_args(kind)[0], option], each, where) for each in values)
    if get_origin(kind) is Literal:
        choices = {str(choice): choice for choice in get_args(kind)}
        if str(value) not in choices:
            raise UsageError(f"{where} must be {' or '.join(choices)}, not {value!r}")
        return choices[str(value)]
    if kind in (int, float, Path) and isinstance(value, int | str) and not isinstance(value, bool):
        value = _parse_number(kind, value)  # YAML reads 1e-3, without a point, as a string
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise UsageError(f"{where} must be {KINDS[kind]}, not {value!r}")
    if kind in (int, float) and not (option.least <= value <= option.most and math.isfinite(value)):
        limits = f"from {option.least} to {option.most}" if option.most < math.inf else f"at least {option.least}"
        raise UsageError(f"{where} must be {limits}, not {value!r}")
    return value


def check(settings: "DataclassInstance") -> None:
    """Check every field of `settings` that was created in Python.

    Raises:
        UsageError: One has the wrong type or is out of range.
    """
    for column in fields(settings):
        parse_value(column.type, getattr(settings, column.name), _flag_of(column.name))


def takes(*settings: "type[DataclassInstance]", without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Add a flag for every field of `settings` to a command with a `typer.Context`, from which `typed` reads them.

    Args:
        settings: Dataclasses with a default for every field; nested ones add their own fields.
        without: Names of fields without a flag, besides the command's own parameters.
    """

    def decorated(command: Command) -> Command:
        own = inspect.signature(command).parameters
        flags: dict[str, inspect.Parameter] = {}
        for each in settings:
            for name, flag in _flags(each, None, switched_off="config" in own):
                flags.setdefault(name, flag)  # a field in several dataclasses, such as the seed, is one flag

        @wraps(command)
        def wrapper(**values: Any) -> None:
            command(**{name: value for name, value in values.items() if name in own})

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own.values()]
        place = next(number for number, each in enumerate(parameters) if each.annotation is typer.Context)
        parameters[place + 1 : place + 1] = [flag for name, flag in flags.items() if name not in (*own, *without)]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper  # type: ignore[return-value]

    return decorated


def typed(settings: Settings, context: typer.Context) -> Settings:
    """Copy `settings` with the flags of `context` and their environment variables."""
    changed: dict[str, Any] = {}
    for column in fields(settings):
        now = getattr(settings, column.name)
        if is_dataclass(now) and not isinstance(now, type):
            changed[column.name] = typed(now, context)
        elif was_typed(column.name, context):
            value = context.params[column.name]
            changed[column.name] = tuple(value) if isinstance(value, list) else value
    return replace(settings, **changed)


def was_typed(name: str, context: typer.Context) -> bool:
    """Return whether a flag has its value from the command line or the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _flags(
    settings: "type[DataclassInstance]", panel: str | None, *, switched_off: bool
) -> Iterator[tuple[str, inspect.Parameter]]:
    """Yield name and flag of every field; `switched_off` adds --no-... to flags that a config file may turn on."""
    defaults = settings()
    for column in fields(settings):
        default = getattr(defaults, column.name)
        option = split_annotation(column.type)[1]
        if is_dataclass(default):
            group = option.panel or column.name.capitalize()
            yield from _flags(type(default), group, switched_off=switched_off)  # type: ignore[arg-type]
        elif option.help:
            negated = switched_off or default in (True, None)
            yield column.name, _flag(column.name, column.type, default, option.panel or panel, negated=negated)


def _flag(name: str, annotation: Any, default: Any, panel: str | None, *, negated: bool) -> inspect.Parameter:
    kind, option = split_annotation(annotation)
    flag = _flag_of(name)
    several = get_origin(kind) is tuple and get_args(kind)[1:] == (...,)
    kind = get_args(kind)[0] if several else without_none(kind)
    hint = str if option.parse else kind
    how: dict[str, Any] = {"help": option.help, "rich_help_panel": panel, "envvar": option.envvar}
    if kind is not bool:

        def parse(text: Any) -> Any:
            return parse_value(Annotated[kind, option], text, flag)

        def complete(incomplete: str) -> Iterable[str]:
            return [choice for choice in map(str, get_args(kind)) if choice.startswith(incomplete)]

        how |= {"parser": parse, "metavar": option.metavar or metavar(kind, option)}
        if get_origin(kind) is Literal:
            how["autocompletion"] = complete
    declared = [flag if kind is not bool or not negated else f"{flag}/--no-{flag[2:]}", *option.short.split()]
    hint = list[hint] | None if several else hint | None if default is None else hint  # type: ignore[valid-type]
    shown = None if default in ("", ()) else default
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=shown, annotation=Annotated[hint, typer.Option(*declared, **how)]
    )


def metavar(kind: Any, option: Option) -> str:
    """Return the placeholder of a flag's value: its choices, limits or type.

    >>> metavar(Literal["soft", "majority"], Option()), metavar(int, Option(24, 256)), metavar(float, Option())
    ('soft|majority', '24..256', 'NUMBER')
    """
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if option.least == -math.inf:
        return WORDS[kind]
    return f"{option.least}.." + (f"{option.most}" if option.most < math.inf else "")


def _flag_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def split_annotation(annotation: Any) -> tuple[Any, Option]:
    """Split a field's annotation into type and `Option`."""
    if get_origin(annotation) is not Annotated:
        return annotation, Option()
    kind, *remarks = get_args(annotation)
    return kind, next((remark for remark in remarks if isinstance(remark, Option)), Option())


def without_none(kind: Any) -> Any:
    """The type of a field that may be None, without that."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    [one] = [each for each in get_args(kind) if each is not NoneType]
    return one


def _parse_number(kind: Any, value: int | str) -> Any:
    try:
        return kind(value)
    except (ValueError, OverflowError, TypeError):
        return value
