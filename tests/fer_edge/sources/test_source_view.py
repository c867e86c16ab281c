"""How frames are asked for: what cannot be is refused, and what a kind of source cannot do is not left aside."""

from pathlib import Path
from typing import Any

import pytest

from fer_edge.errors import UsageError
from fer_edge.settings import parsed_size
from fer_edge.sources import View, find_source


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"size": (0, 480)}, "--size must be from 1 to 8192, not 0"),
        ({"size": (640, 8193)}, "--size must be from 1 to 8192, not 8193"),
        ({"fps": 0.0}, "--fps must be from 0.1 to 1000.0, not 0.0"),
        ({"fps": float("nan")}, "--fps must be from 0.1 to 1000.0, not nan"),
        ({"rotate": 45}, "--rotate must be 0 or 90 or 180 or 270, not 45"),
        ({"vid_stride": 0}, "--vid-stride must be at least 1, not 0"),
    ],
)
def test_a_view_that_cannot_be_is_refused(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        View(**wrong)


@pytest.mark.parametrize(
    ("source", "view", "complaint"),
    [
        ("clip.mp4", View(size=(640, 480)), "--size does not apply to a video file; remove it"),
        ("clip.mp4", View(fps=5), "--fps does not apply to a video file"),
        (".", View(realtime=True), "--realtime does not apply to images"),
        ("fake", View(loop=True), "--loop does not apply to drawn faces"),
        ("-", View(loop=True), "--loop does not apply to standard input"),
    ],
)
def test_what_a_kind_of_source_cannot_do_is_refused_and_not_left_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, view: View, complaint: str
) -> None:
    for name in ("clip.mp4", "a.png"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=complaint):
        find_source(source, view)


@pytest.mark.parametrize("text", ["640x480", "640X480", " 640*480 ", "640,480"])
def test_a_size_is_read(text: str) -> None:
    assert parsed_size(text) == (640, 480)


@pytest.mark.parametrize("text", ["", "640", "640x", "640x480x3", "-1x5", "axb", "٣x٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="width and height, such as 640x480"):
        parsed_size(text)
