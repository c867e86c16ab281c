"""Settings once: a field of a dataclass is a setting, a flag and a key of a file, and knows no other place.

    epochs: Annotated[int, Option(1, 1_000_000, help="Passes over the training faces.")] = 60

`takes` gives a command the flags of such a dataclass, `typed` fills it from them, `filled` from YAML or JSON; one
function, `judged`, checks types and limits for all of them. Knows no setting by name, but for `RENAMED`.
"""

import difflib
import inspect
import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
"""Settings of version 0.1 whose names were others: its run folders hold them, and people type them."""


@dataclass(frozen=True)
class Option:
    """What type and default of a field do not say."""

    least: float = -math.inf
    most: float = math.inf
    help: str = ""
    short: str = ""
    """A second flag, such as -s."""
    metavar: str = ""
    """What its value is called; empty: its choices, limits or type."""
    envvar: str | None = None
    """An environment variable that holds it where no flag does."""
    panel: str | None = None
    """Panel of `--help`; for a field with fields of its own, that of all of them, by default its name."""
    parse: Callable[[str], Any] | None = None
    """Reads a text, where type and limits do not say how."""


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Settings = TypeVar("Settings", bound="DataclassInstance")
Command = TypeVar("Command", bound=Callable[..., None])
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
WORDS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}


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
            changed[name] = judged(known[name].type, value, f"{where}: {name}")
        elif isinstance(value, dict):
            changed[name] = filled(now, value, f"{where}: {name}")
        elif value is not None:
            first = fields(now)[0].name
            raise UsageError(f"{where}: {name} takes fields of its own, such as '{first}: {getattr(now, first)}'")
    return replace(settings, **changed)


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
            kind, option = _taken_apart(column.type)
            value = values.pop(column.name)
            value = str(value) if option.parse else value
            changed[column.name] = judged(
                Annotated[_without_none(kind), option], value, f"{where}: {column.name.replace('_', '-')}"
            )
    return replace(settings, **changed)


def _flag_names(settings: Any) -> list[str]:
    pairs = [(column.name, getattr(settings, column.name)) for column in fields(settings)]
    return [name for field, value in pairs for name in (_flag_names(value) if is_dataclass(value) else [field])]


def migrated(values: dict[str, Any]) -> dict[str, Any]:
    """Give settings that version 0.1 wrote the names of today.

    >>> migrated({"size": 48, "augmentation": {"blur": 0.1}})
    {'imgsz': 48, 'augmentation': {'gaussian_blur': 0.1}}
    """
    return {
        RENAMED.get(name, name): migrated(value) if isinstance(value, dict) else value for name, value in values.items()
    }


def did_you_mean(name: Any, known: Collection[str]) -> str:
    """Guess what was meant by `name`: "did you mean 'epochs'? ", or nothing.

    >>> did_you_mean("epoch", ["data", "epochs"]), did_you_mean("lr", ["learning_rate"])
    ("did you mean 'epochs'? ", "did you mean 'learning_rate'? ")
    >>> did_you_mean("--lr", ["--learning-rate"]), did_you_mean("--speed", ["--preview"])
    ('did you mean --learning-rate? ', '')
    """
    flags, name = str(name).startswith("-"), str(name).lstrip("-").replace("-", "_")
    names = {each.lstrip("-").replace("-", "_"): each for each in known}
    close = [RENAMED[name]] if RENAMED.get(name) in names else difflib.get_close_matches(name, names, n=1)
    return f"did you mean {names[close[0]] if flags else repr(close[0])}? " if close else ""


def judged(annotation: Any, value: Any, where: str) -> Any:
    """Return `value`, plain or as text, as the type that `annotation` names, which may hold an `Option`.

    Raises:
        UsageError: It is of the wrong type or out of range; `where` says whose it is.
    """
    declared, option = _taken_apart(annotation)
    kind = _without_none(declared)
    if value is None and kind is not declared:
        return None
    if option.parse and isinstance(value, str):
        return option.parse(value)
    if get_origin(kind) is tuple:  # of any length; one alone needs no list
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(judged(Annotated[get_args(kind)[0], option], each, where) for each in values)
    if get_origin(kind) is Literal:
        choices = {str(choice): choice for choice in get_args(kind)}
        if str(value) not in choices:
            raise UsageError(f"{where} is {' or '.join(choices)}, not {value!r}")
        return choices[str(value)]
    if kind in (int, float, Path) and isinstance(value, int | str) and not isinstance(value, bool):
        value = _read(kind, value)  # YAML, too, takes 1e-3, which has no point, for a text
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise UsageError(f"{where} is {KINDS[kind]}, not {value!r}")
    if kind in (int, float) and not (option.least <= value <= option.most and math.isfinite(value)):
        limits = f"from {option.least}" + (f" to {option.most}" if option.most < math.inf else " on")
        raise UsageError(f"{where} is {limits}, not {value!r}")
    return value


def check(settings: "DataclassInstance") -> None:
    """Judge every field of `settings`, which Python code may have filled with anything.

    Raises:
        UsageError: One is of the wrong type or out of range.
    """
    for column in fields(settings):
        judged(column.type, getattr(settings, column.name), _flag_of(column.name))


def takes(*settings: "type[DataclassInstance]", without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Give a command a flag for every field of `settings`, behind its `typer.Context`, from which `typed` reads them.

    Args:
        settings: Dataclasses with a default for every field. A field that is one itself gives its own fields.
        without: Names of fields that get none, besides those that are parameters of the command itself.
    """

    def decorated(command: Command) -> Command:
        own = inspect.signature(command).parameters
        flags: dict[str, inspect.Parameter] = {}
        for each in settings:
            for name, flag in _flags(each, None, switched_off="config" in own):
                flags.setdefault(name, flag)  # one that is in several, as the seed, is set in all

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
    """Copy `settings` with what was typed as flags of `context`, or stands in their environment variables."""
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
    """Whether a flag got its value from the command line or the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _flags(
    settings: "type[DataclassInstance]", panel: str | None, *, switched_off: bool
) -> Iterator[tuple[str, inspect.Parameter]]:
    """Yield name and flag of every field; `switched_off`: a switch that is off may have been turned on by a file."""
    defaults = settings()
    for column in fields(settings):
        default = getattr(defaults, column.name)
        option = _taken_apart(column.type)[1]
        if is_dataclass(default):
            group = option.panel or column.name.capitalize()
            yield from _flags(type(default), group, switched_off=switched_off)  # type: ignore[arg-type]
        elif option.help:
            negated = switched_off or default in (True, None)
            yield column.name, _flag(column.name, column.type, default, option.panel or panel, negated=negated)


def _flag(name: str, annotation: Any, default: Any, panel: str | None, *, negated: bool) -> inspect.Parameter:
    kind, option = _taken_apart(annotation)
    flag = _flag_of(name)
    several = get_origin(kind) is tuple and get_args(kind)[1:] == (...,)
    kind = get_args(kind)[0] if several else _without_none(kind)
    hint = str if option.parse else kind
    how: dict[str, Any] = {"help": option.help, "rich_help_panel": panel, "envvar": option.envvar}
    if kind is not bool:

        def parse(text: Any) -> Any:
            return judged(Annotated[kind, option], text, flag)

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
    """Name what stands behind a flag: its choices, its limits, or a type.

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


def _taken_apart(annotation: Any) -> tuple[Any, Option]:
    """The type of a field, and what else is said of it."""
    if get_origin(annotation) is not Annotated:
        return annotation, Option()
    kind, *remarks = get_args(annotation)
    return kind, next((remark for remark in remarks if isinstance(remark, Option)), Option())


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in (Union, UnionType):
        return kind
    [one] = [each for each in get_args(kind) if each is not NoneType]
    return one


def _read(kind: Any, value: int | str) -> Any:
    try:
        return kind(value)
    except (ValueError, OverflowError, TypeError):
        return value
