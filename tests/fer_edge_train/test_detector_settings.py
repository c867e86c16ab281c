"""The `--config` file of a detector's training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fer_edge.errors import UsageError
from fer_edge_train.detector.scenes import SceneSettings
from fer_edge_train.detector.settings import DetectorSettings, as_values, read_config_file, settings_from

SHIPPED = Path(__file__).parents[2] / "train" / "configs" / "face.yaml"


def written(folder: Path, text: str) -> Path:
    path = folder / "face.yaml"
    path.write_text(text)
    return path


def test_the_shipped_file_is_read() -> None:
    settings = read_config_file(SHIPPED)

    assert (settings.width, settings.height) == (320, 240)
    assert settings.data == ""  # --data says


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    settings = read_config_file(written(tmp_path, "epochs: 3\nscenes:\n  mosaic: 0.5\n"))

    assert settings == replace(DetectorSettings(), epochs=3, scenes=replace(SceneSettings(), mosaic=0.5))


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n", "{}", "scenes:\n"])
def test_an_empty_file_is_all_defaults(tmp_path: Path, text: str) -> None:
    assert read_config_file(written(tmp_path, text)) == DetectorSettings()


def test_a_whole_number_will_do_for_a_fraction(tmp_path: Path) -> None:
    settings = read_config_file(written(tmp_path, "learning_rate: 1\nscenes: {zoom: 2}\n"))

    assert (settings.learning_rate, settings.scenes.zoom) == (1.0, 2.0)
    assert type(settings.learning_rate) is type(settings.scenes.zoom) is float


def test_settings_survive_the_way_through_a_runs_file() -> None:
    settings = DetectorSettings(data="d", epochs=7, scenes=SceneSettings(zoom=3.0))

    assert settings_from(json.loads(json.dumps(as_values(settings))), "config.json") == settings


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("epoch: 3", "no field 'epoch'; there are data, terms, crops, width"),
        ("scenes: {mosaik: 1}", "scenes: no field 'mosaik'; there are zoom"),
        ("1: 2", "no field 1; there are data"),
        ("epochs: many", "epochs is a int, not 'many'"),
        ("epochs: 3.5", "epochs is a int, not 3.5"),
        ("epochs: true", "epochs is a int, not True"),
        ("epochs:", "epochs is a int, not None"),
        ("learning_rate: [0.1]", "learning_rate is a float, not [0.1]"),
        ("crops: 5", "crops is a str, not 5"),
        ("scenes: {blur: often}", "scenes: blur is a float, not 'often'"),
        ("scenes: 3", "scenes takes fields of its own, such as 'mosaic: 0.25'"),
        ("- epochs\n- 3\n", "needed are lines such as 'epochs: 100'"),
        ("just text", "needed are lines such as 'epochs: 100'"),
        ("epochs: 3\n  batch: 4\n", "an example is train/configs/face.yaml"),
        ("epochs: [3", "an example is train/configs/face.yaml"),
        ("epochs: !!python/object:os.system 3", "an example is train/configs/face.yaml"),
        ("epochs: 0", "epochs is from 1 to 1000000, not 0"),
        ("batch: 0", "batch is from 1 to 1024, not 0"),
        ("seed: -1", "seed is from 0 to 4294967295, not -1"),
        ("patience: -1", "patience is from 0"),
        ("learning_rate: .nan", "learning_rate is from 1e-07 to 10, not nan"),
        ("weight_decay: .inf", "weight_decay is from 0 to 10, not inf"),
        ("ema: 1", "ema is from 0 to 0.9999, not 1"),
        ("scenes: {zoom: 0}", "scenes: zoom is from 1 to 10, not 0"),
        ("scenes: {smallest: 0}", "scenes: smallest is from 1 to 32, not 0"),
        ("scenes: {enlarge: -1}", "scenes: enlarge is from 0.1 to 10, not -1"),
        ("scenes: {mosaic: 1.5}", "scenes: mosaic is from 0 to 1, not 1.5"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(UsageError) as refused:
        read_config_file(path)

    assert str(refused.value).startswith(f"--config {path}: ")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


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
            read_config_file(tmp_path / name)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("width", "height"), [(100, 64), (96, 60), (48, 64), (0, 0), (-8, 64)])
def test_a_side_that_the_network_cannot_have_is_refused(width: int, height: int) -> None:
    from fer_edge_train.detector.network import face_detector

    with pytest.raises(UsageError, match="sides must be multiples of 8 from 64 on, such as 320x240"):
        face_detector(height, width)
