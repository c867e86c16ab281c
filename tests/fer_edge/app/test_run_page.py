"""`fer-edge run --preview`: the printed address, and that the page stays open after a video or picture."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from fer_edge.imaging.images import encode_picture, read_picture

pytest.importorskip("uvicorn", reason="needs the extra [preview]: pip install '.[preview]'")

Live = Callable[..., Any]
"""Starts `fer-edge run` as a process of its own."""
STAYS = "the source has ended; the live page stays until Ctrl-C"


def asked(address: str, path: str) -> tuple[int, str]:
    """Ask the page for something: status and body."""
    try:
        with urllib.request.urlopen(re.sub(r"/(\?|$)", rf"/{path}\1", address, count=1), timeout=5) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--show",), r"live page: http://127\.0\.0\.1:[0-9]+/\nno browser on this machine.*"),
        (("--preview", "--preview-host", "0.0.0.0"), r"live page: http://.+:[0-9]+/\?token=[0-9a-f]{16}"),  # noqa: S104
        (
            ("--preview", "--preview-host", "0.0.0.0", "--preview-token", "my-own-token"),  # noqa: S104
            r"live page: http://.+:[0-9]+/\?token=\*\*\*",
        ),
    ],
)
def test_the_address_of_the_page_is_told_with_a_token_that_was_made_but_not_with_ones_own(
    live: Live, picture: Path, flags: tuple[str, ...], told: str
) -> None:
    running = live("-s", picture, "--preview-port", 0, *flags)
    *lines, last = running.wait_for_line("stays")

    assert last == STAYS
    assert re.fullmatch(told, "\n".join(lines))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_the_end_of_a_video_everything_is_written_and_the_page_stays(
    live: Live, video: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    running = live("-s", video, "--save", out, "--csv", tmp_path / "faces.csv", "--preview", "--preview-port", 0)
    page, summary, _, wrote, last = running.wait_for_line("stays")
    address = page.removeprefix("live page: ")

    assert re.fullmatch(r"12 frames, [0-9.]+ per second, 0 dropped; 1 face", summary)
    assert float(summary.split()[2]) < 11  # its own pace, or that of a busy machine
    assert (wrote, last) == (f"wrote 1 file to {out}", STAYS)
    assert cv2.VideoCapture(str(next(out.iterdir()))).get(cv2.CAP_PROP_FRAME_COUNT) == 12
    assert len((tmp_path / "faces.csv").read_text().splitlines()) == 13
    assert json.loads(asked(address, "latest.json")[1])["frame"] == 11
    assert asked(address, "healthz") == (503, "the source has ended\n")

    code, told, took = running.end(number)
    assert code == 0
    assert took < 3  # a second, and a machine that has other work
    assert told in ([], ["stopped"])


def test_the_page_stays_after_a_video_in_real_time(live: Live, video: Path) -> None:
    running = live("-s", video, "--realtime", "--preview", "--preview-port", 0)

    assert running.wait_for_line("stays")[-1] == STAYS
    assert running.end(signal.SIGTERM)[0] == 0


def test_a_signal_during_a_video_ends_the_run(live: Live, video: Path) -> None:
    running = live("-s", video, "--loop", "--preview", "--preview-port", 0)
    running.wait_for_line("live page")

    code, told, _ = running.end(signal.SIGINT)
    assert code == 130
    assert STAYS not in told


def test_the_page_of_a_pipe_ends_with_it(tiny: Path, picture: Path) -> None:
    jpeg = encode_picture(read_picture(picture), ".jpg")
    command = [sys.executable, "-m", "fer_edge", "run", "-m", tiny, "-s", "-", "--detector", "none"]
    finished = subprocess.run(
        [*command, "--preview", "--preview-port", "0"], input=5 * jpeg, capture_output=True, check=False, timeout=60
    )

    assert finished.returncode == 0
    assert b"stays" not in finished.stderr


def test_the_live_page_is_served_while_it_runs(live: Live) -> None:
    running = live("--preview", "--preview-port", 0, "--preview-token", "s3cret-token", "--size", "160x120")
    (line,) = running.wait_for_line("live page")
    assert re.fullmatch(r"live page: http://127\.0\.0\.1:[0-9]+/\?token=\*\*\*", line)
    address = line.removeprefix("live page: ").replace("***", "s3cret-token")

    def latest() -> bool:
        status, body = asked(address, "latest.json")
        return status == 200 and bool(json.loads(body)["faces"])

    running.wait_until(latest)
    code, told, _ = running.end(signal.SIGTERM)
    assert code == 0
    assert not any("s3cret" in one for one in told)
