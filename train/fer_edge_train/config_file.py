"""Settings in a `--config` file; the fields of a dataclass say which there are (`fer_edge.options`)."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.errors import UsageError
from fer_edge.files import write_text
from fer_edge.options import Settings, filled

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


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
