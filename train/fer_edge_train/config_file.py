"""Reading and writing the YAML file of `--config`; its keys are the fields of a dataclass (`fer_edge.options`)."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.errors import UsageError
from fer_edge.files import write_text
from fer_edge.options import Settings, update_settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def read_config_file(path: Path, defaults: Settings) -> Settings:
    """Read settings from a YAML file whose keys are the fields of `defaults`; missing keys keep their default.

    Args:
        path: The file.
        defaults: A dataclass with a default for every field; a field may be a dataclass itself.

    Raises:
        UsageError: The file cannot be read, has an unknown key, or a value has the wrong type or is out of range.
    """
    import yaml  # part of the train extra

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(f"--config {path}: {reason}; see train/configs for examples") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config {path}: expected lines such as 'epochs: 100'")
    return update_settings(defaults, values, f"--config {path}")


def write_config_file(path: Path, settings: "DataclassInstance", remark: str) -> None:
    """Write `settings` in the format of `read_config_file`, with the comment `remark` as its first line."""
    import yaml

    write_text(path, f"# {remark}\n{yaml.safe_dump(asdict(settings), sort_keys=False, allow_unicode=True)}")
