"""`fer-edge train --config FILE`: what a file may say, and what stands above it."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import typer

from fer_edge.cli import app
from fer_edge.errors import UsageError
from fer_edge.options import update_settings
from fer_edge_train.config_file import read_config_file, write_config_file
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.settings import NO_AUGMENTATION, Augmentation, TrainSettings
from fer_edge_train.training import fit
from support.command import FerEdge
from support.paths import ROOT
from support.runs import figures

SHIPPED = ROOT / "train" / "configs"
Train = Callable[..., TrainSettings]


def written(folder: Path, text: str) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def train(fer_edge: FerEdge, monkeypatch: pytest.MonkeyPatch) -> Train:
    """`fer-edge train` that only says with what settings it would."""
    given: list[TrainSettings] = []

    def caught(settings: TrainSettings, *_: object, **__: object) -> Path:
        given.append(settings)
        return Path("run")

    monkeypatch.setattr(fit, "train", caught)
    monkeypatch.setattr(fit, "show", lambda run: None)

    def typed(*arguments: str | Path) -> TrainSettings:
        fer_edge("train", *arguments, code=0)
        return given[-1]

    return typed


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    path = written(tmp_path, "epochs: 3\naugmentation:\n  gaussian_blur: 0.5\n")

    assert read_config_file(path, TrainSettings()) == TrainSettings(
        epochs=3, augmentation=Augmentation(gaussian_blur=0.5)
    )


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n", "{}", "augmentation:\n", "reading: {}"])
def test_an_empty_file_is_all_defaults(tmp_path: Path, text: str) -> None:
    assert read_config_file(written(tmp_path, text), TrainSettings()) == TrainSettings()


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1", 1.0), ("0.001", 0.001), ("1e-3", 0.001)],  # YAML itself takes the last for a text
)
def test_a_fraction_is_written_as_people_write_it(tmp_path: Path, text: str, rate: float) -> None:
    settings = read_config_file(written(tmp_path, f"learning_rate: {text}\n"), TrainSettings())

    assert (settings.learning_rate, type(settings.learning_rate)) == (rate, float)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("epoch: 3", "no field 'epoch'; did you mean 'epochs'? fields: data, data_weight,"),
        ("lr: 3", "no field 'lr'; did you mean 'learning_rate'? fields: data"),
        ("augmentation: {rotatoin: 1}", "augmentation: no field 'rotatoin'; did you mean 'rotation'? fields: flip"),
        ("1: 2", "no field 1; fields: data"),
        ("epochs: many", "epochs must be an integer, not 'many'"),
        ("epochs: 3.5", "epochs must be an integer, not 3.5"),
        ("epochs: true", "epochs must be an integer, not True"),
        ("epochs:", "epochs must be an integer, not None"),
        ("class_weights: 1", "class_weights must be true or false, not 1"),
        ("learning_rate: [0.1]", "learning_rate must be a number, not [0.1]"),
        ("learning_rate: quick", "learning_rate must be a number, not 'quick'"),
        ("data: 5", "data must be a string, not 5"),
        ("data: [a, 5]", "data must be a string, not 5"),
        ("data_weight: [1, much]", "data_weight must be a number, not 'much'"),
        ("reading: {format: 5}", "reading: format must be a string, not 5"),
        ("optimizer: adamm", "optimizer must be adamw or adam or sgd, not 'adamm'"),
        ("optimizer: [adam]", "optimizer must be adamw or adam or sgd, not ['adam']"),
        ("augmentation: 3", "augmentation needs nested fields, such as 'flip: True'"),
        ("- epochs\n- 3\n", "expected lines such as 'epochs: 100'"),
        ("just text", "expected lines such as 'epochs: 100'"),
        ("epochs: 3\n  batch: 4\n", "see train/configs for examples"),
        ("epochs: [3", "see train/configs for examples"),
        ("epochs: !!python/object:os.system 3", "see train/configs for examples"),
        ("epochs: 0", "epochs must be from 1 to 1000000, not 0"),
        ("imgsz: 23", "imgsz must be from 24 to 256, not 23"),
        ("seed: -1", "seed must be from 0 to 4294967295, not -1"),
        ("learning_rate: .nan", "learning_rate must be from 1e-07 to 10, not nan"),
        ("weight_decay: .inf", "weight_decay must be from 0 to 10, not inf"),
        ("ema: 1", "ema must be from 0 to 0.9999, not 1"),
        ("augmentation: {jpeg: 1.5}", "augmentation: jpeg must be from 0 to 1, not 1.5"),
        ("reading: {test_split: 1}", "reading: test_split must be from 0.01 to 0.9, not 1"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what(fer_edge: FerEdge, tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)

    [line] = fer_edge("train", "--config", path, "--data", "nowhere", code=2).stderr.strip().splitlines()

    assert line.startswith(f"error: --config {path}: ")
    assert complaint in line


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"data: caf\xe9\n")
    (tmp_path / "control.yaml").write_bytes(b"data: \x07\n")

    for name, reason in (
        ("nowhere.yaml", "No such file"),
        (".", "Is a directory"),
        ("latin.yaml", "can't decode"),
        ("control.yaml", "unacceptable character"),
    ):
        with pytest.raises(UsageError, match=reason) as refused:
            read_config_file(tmp_path / name, TrainSettings())
        assert "\n" not in str(refused.value)


def test_two_ways_to_balance_are_one_too_many(fer_edge: FerEdge, tmp_path: Path) -> None:
    path = written(tmp_path, "balanced_sampling: true\n")

    refused = fer_edge("train", "--config", path, "--data", "nowhere", "--logit-adjustment", "1", code=2).stderr

    assert "--balanced-sampling and --logit-adjustment each balance the classes; choose one" in refused


@pytest.mark.parametrize("path", sorted(SHIPPED.iterdir()), ids=lambda path: path.name)
def test_a_shipped_file_is_read(path: Path) -> None:
    settings = read_config_file(path, TrainSettings())

    assert settings.network == "edge"
    assert settings.data == ()  # --data says


def test_without_flags_and_file_the_defaults_hold(train: Train) -> None:
    assert train("--data", "d") == TrainSettings(data=("d",))


def test_flags_stand_above_the_file(tmp_path: Path, train: Train) -> None:
    path = written(tmp_path, "data: a\nepochs: 3\nbatch: 7\naugmentation: {gaussian_blur: 0.5, flip: false}\nseed: 4\n")

    flags = ["--data", "b", "--batch", "9", "--gaussian-blur", "0.1", "--seed", "6", "--learning-rate", "0.002"]
    settings = train("--config", path, *flags)

    assert settings == TrainSettings(
        data=("b",),
        epochs=3,
        batch=9,
        seed=6,
        augmentation=Augmentation(flip=False, gaussian_blur=0.1),
        reading=DataSettings(seed=6),
    )


def test_a_flag_of_its_default_value_stands_above_the_file_as_well(tmp_path: Path, train: Train) -> None:
    path = written(tmp_path, "epochs: 3\nclass_weights: true\n")

    settings = train("--config", path, "--data", "d", "--epochs", "60", "--no-class-weights")

    assert settings == TrainSettings(data=("d",))


def test_without_augmentation_nothing_is_left_but_what_was_typed(tmp_path: Path, train: Train) -> None:
    path = written(tmp_path, "augmentation: {jpeg: 0.5}\n")

    assert train("--config", path, "--data", "d", "--no-augment").augmentation == NO_AUGMENTATION
    only_flip = Augmentation(flip=True, shift=0, rotation=0, zoom=0, brightness=0)
    assert train("--data", "d", "--no-augment", "--flip").augmentation == only_flip


def test_the_file_may_name_the_data(fer_edge: FerEdge, tmp_path: Path, train: Train) -> None:
    assert train("--config", written(tmp_path, "data: d\n")).data == ("d",)

    path = written(tmp_path, "epochs: 3\n")
    assert f"{path} names no data; give --data DIR as well" in fer_edge("train", "--config", path, code=2).stderr


def test_every_setting_has_a_flag() -> None:
    flags = {option.name for option in typer.main.get_command(app).commands["train"].params}  # type: ignore[attr-defined]  # a group
    settings = {column.name for each in (TrainSettings, Augmentation, DataSettings) for column in fields(each)}

    assert settings - flags == {"augmentation", "reading"}


@pytest.mark.parametrize(
    ("command", "before", "now"),
    [
        ("train", "labels", "label-mode"),
        ("train", "lr", "learning-rate"),
        ("train", "size", "imgsz"),
        ("train", "blur", "gaussian-blur"),
        ("train", "split", "test-split"),
        ("train", "min-confidence", "min-box-confidence"),
        ("train", "epoch", "epochs"),
        ("prepare", "size", "imgsz"),
        ("prepare", "split", "test-split"),
        ("evaluate", "min-confidence", "min-box-confidence"),
    ],
)
def test_an_old_or_mistyped_flag_is_answered_with_the_right_one(
    fer_edge: FerEdge, command: str, before: str, now: str
) -> None:
    told = fer_edge(command, f"--{before}", "1", code=2).stderr

    assert told == f"error: no flag --{before}; did you mean --{now}? see: fer-edge {command} --help\n"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("data_weights: [1, 2]", "data_weight"),
        ("lr: 1", "learning_rate"),
        ("size: 48", "imgsz"),
        ("teachers: run", "teacher"),
        ("augmentation: {blur: 1}", "gaussian_blur"),
        ("reading: {min_confidence: 1}", "min_box_confidence"),
        ("reading: {split: 0.2}", "test_split"),
        ("reading: {validation: 0.2}", "validation_split"),
    ],
)
def test_an_old_key_is_answered_with_the_right_one(tmp_path: Path, before: str, now: str) -> None:
    with pytest.raises(UsageError, match=f"; did you mean '{now}'\\? fields: "):
        read_config_file(written(tmp_path, before), TrainSettings())


def test_flags_are_validated_like_the_file(fer_edge: FerEdge, tmp_path: Path) -> None:
    for name, value in (("epochs", "0"), ("learning_rate", "quick"), ("network", "vgg"), ("data_weight", "much")):
        flag = f"--{name.replace('_', '-')}"
        told = fer_edge("train", flag, value, code=2).stderr.removeprefix(f"error: {flag} ")
        with pytest.raises(UsageError) as refused:
            read_config_file(written(tmp_path, f"{name}: {value}\n"), TrainSettings())
        assert str(refused.value).endswith(f": {name} {told.strip()}")


def test_settings_survive_the_way_through_files(tmp_path: Path) -> None:
    settings = TrainSettings(data=("dé",), epochs=7, learning_rate=1e-7, augmentation=Augmentation(shift=0.3))

    write_config_file(tmp_path / "config.yaml", settings, "a remark")

    assert (tmp_path / "config.yaml").read_text().startswith("# a remark\ndata:\n- dé\n")
    assert read_config_file(tmp_path / "config.yaml", TrainSettings()) == settings
    assert update_settings(TrainSettings(), json.loads(json.dumps(asdict(settings))), "config.json") == settings


def test_the_file_in_a_run_folder_makes_the_same_run_again(fer_edge: FerEdge, bars: Path, tmp_path: Path) -> None:
    given = ["--network", "expw-cnn", "--imgsz", "24", "--epochs", "2", "--batch", "16", "--seed", "3", "--mixup", "1"]
    changes = ["--erasing", "0.5", "--low-resolution", "0.5", "--gaussian-blur", "0.5", "--jpeg", "0.5"]
    more = [*changes, "--label-smoothing", "0.1"]
    project = ["--project", tmp_path / "runs"]
    fer_edge("train", "--data", bars, *given, *more, "--balanced-sampling", *project, "--name", "first", code=0)
    copied = tmp_path / "copied.yaml"
    copied.write_text((tmp_path / "runs/first/config.yaml").read_text().replace(str(bars), "/elsewhere/bars.npz"))
    fer_edge("train", "--config", copied, "--data", bars, *project, "--name", "second", code=0)

    first, second = (figures(tmp_path / "runs" / name) for name in ("first", "second"))
    assert first == second
    configs = [json.loads((tmp_path / "runs" / name / "config.json").read_text()) for name in ("first", "second")]
    assert configs[0] == configs[1]
