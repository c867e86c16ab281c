"""What decides a detector's training: the fields of a `--config` file, and of the run's `config.json`."""

import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from fer_edge.errors import UsageError
from fer_edge_train.detector.scenes import SceneSettings


@dataclass(frozen=True)
class DetectorSettings:
    """Everything that decides a training."""

    data: str = ""
    """Folder with `faces.csv` and `pictures/`."""
    terms: str = ""
    """Under which the photos and their labels may be used, for the model's contract; empty for the first line of the
    folder's LICENSE."""
    crops: str = ""
    """A prepared set (.npz) of ready face crops, laid over some pictures; empty for none."""
    width: int = 320
    """Of the input in pixels; any multiple of 8, and export may take another."""
    height: int = 240
    epochs: int = 100
    batch: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    ema: float = 0.998
    """Weights that are judged and kept are the moving average with this momentum; 0 turns it off."""
    patience: int = 0
    """Stop after this many epochs without a better recall; 0 never stops early."""
    seed: int = 0
    scenes: SceneSettings = field(default_factory=SceneSettings)


SHARE = (0, 1)
LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, 1_000_000),
    "batch": (1, 1024),
    "learning_rate": (1e-7, 10),
    "weight_decay": (0, 10),
    "ema": (0, 0.9999),
    "patience": (0, 1_000_000),
    "seed": (0, 2**32 - 1),
    "zoom": (1, 10),
    "smallest": (1, 32),
    "enlarge": (0.1, 10),
    "rotation": (0, 180),
    **dict.fromkeys(("aimed", "mosaic", "crops", "dark", "backlight", "blur", "noise", "jpeg", "occlusion"), SHARE),
}
"""Least and greatest value of each number that has some; the network says which sides it takes."""

Settings = TypeVar("Settings", DetectorSettings, SceneSettings)


def read_config_file(path: Path) -> DetectorSettings:
    """Read settings from a YAML file whose keys are the fields above; what it leaves out keeps its default.

    Raises:
        UsageError: The file cannot be read, names an unknown field, or a value is of the wrong type or out of range.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(f"--config {path}: {reason}; an example is train/configs/face.yaml") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config {path}: needed are lines such as 'epochs: 100'")
    return settings_from(values, f"--config {path}")


def settings_from(values: dict[str, Any], where: str) -> DetectorSettings:
    """Make settings of plain values, as YAML and JSON hold them.

    Raises:
        UsageError: A field is unknown, or a value of the wrong type or out of range; `where` says whose.
    """
    scenes = values.get("scenes") or {}
    settings = _filled(DetectorSettings(), {name: value for name, value in values.items() if name != "scenes"}, where)
    if not isinstance(scenes, dict):
        raise UsageError(f"{where}: scenes takes fields of its own, such as 'mosaic: 0.25'")
    return replace(settings, scenes=_filled(SceneSettings(), scenes, f"{where}: scenes"))


def _filled(settings: Settings, values: dict[str, Any], where: str) -> Settings:
    known = {column.name: getattr(settings, column.name) for column in fields(settings)}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"{where}: no field {name!r}; there are {', '.join(known)}")
        wanted = type(known[name])
        if wanted is float and type(value) is int:
            values = {**values, name: float(value)}
        elif type(value) is not wanted:
            raise UsageError(f"{where}: {name} is a {wanted.__name__}, not {value!r}")
        least, most = LIMITS.get(name, (-math.inf, math.inf))
        if wanted in (int, float) and not least <= value <= most:
            raise UsageError(f"{where}: {name} is from {least} to {most}, not {value!r}")
    return replace(settings, **values)


def as_values(settings: DetectorSettings) -> dict[str, Any]:
    """Plain values that `settings_from` reads back."""
    return asdict(settings)
