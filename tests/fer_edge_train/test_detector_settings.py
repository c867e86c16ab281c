"""The `--config` file of a detector's training."""

from pathlib import Path

import pytest

from fer_edge.errors import UsageError
from fer_edge_train.config_file import read_config_file
from fer_edge_train.detector.scenes import SceneSettings
from fer_edge_train.detector.settings import DetectorSettings

SHIPPED = Path(__file__).parents[2] / "train" / "configs" / "face.yaml"


def test_the_shipped_file_is_read() -> None:
    settings = read_config_file(SHIPPED, DetectorSettings())

    assert (settings.width, settings.height) == (320, 240)
    assert settings.data == ""  # --data says


def test_scenes_have_fields_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "face.yaml"
    path.write_text("epochs: 3\nscenes:\n  mosaic: 0.5\n")

    settings = read_config_file(path, DetectorSettings())

    assert settings == DetectorSettings(epochs=3, scenes=SceneSettings(mosaic=0.5))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("scenes: {mosaik: 1}", "scenes: no field 'mosaik'; did you mean 'mosaic'? there are zoom"),
        ("scenes: {blur: often}", "scenes: blur is a number, not 'often'"),
        ("scenes: 3", "scenes takes fields of its own, such as 'zoom: 1.6'"),
        ("crops: 5", "crops is a text, not 5"),
        ("batch: 1025", "batch is from 1 to 1024, not 1025"),
        ("scenes: {zoom: 0}", "scenes: zoom is from 1 to 10, not 0"),
        ("scenes: {smallest: 0}", "scenes: smallest is from 1 to 32, not 0"),
        ("scenes: {enlarge: -1}", "scenes: enlarge is from 0.1 to 10, not -1"),
        ("scenes: {mosaic: 1.5}", "scenes: mosaic is from 0 to 1, not 1.5"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "face.yaml"
    path.write_text(text)

    with pytest.raises(UsageError) as refused:
        read_config_file(path, DetectorSettings())

    assert f"--config {path}: {complaint}" in str(refused.value)


@pytest.mark.parametrize(("width", "height"), [(100, 64), (96, 60), (48, 64), (0, 0), (-8, 64)])
def test_a_side_that_the_network_cannot_have_is_refused(width: int, height: int) -> None:
    from fer_edge_train.detector.network import face_detector

    with pytest.raises(UsageError, match="sides must be multiples of 8 from 64 on, such as 320x240"):
        face_detector(height, width)
