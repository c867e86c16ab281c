"""Reads the files that the commands wrote; every figure of the report comes from one of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.errors import DataError
from fer_edge.imaging.crop import Box, overlap

SAME_FACE = 0.4
"""Overlap from which a found box counts as the drawn face."""


@dataclass(frozen=True)
class VideoSummary:
    """How `fer-edge run` did on the drawn video, whose faces are known."""

    frames: int
    drawn: int
    """Faces that the video shows, over all frames."""
    found: int
    right: int
    """Found faces with the right expression."""
    uncertain: int
    """Found faces that the model would not name."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file with one JSON object a line.

    Raises:
        DataError: It is missing or damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); start the demo again") from error


def summarise_video(answers: list[dict[str, Any]], truth: list[dict[str, Any]]) -> VideoSummary:
    """Compare what `run` said of each frame with what was drawn.

    Args:
        answers: Its JSON, one object a frame.
        truth: What was drawn, one object a frame: its faces with expression and box.
    """
    found = right = uncertain = 0
    for answer, drawn in zip(answers, truth, strict=False):
        for face in drawn["faces"]:
            box = Box(*face["box"])
            best = max(answer["faces"], key=lambda other: overlap(Box(*other["box"]), box), default=None)
            if best is None or overlap(Box(*best["box"]), box) < SAME_FACE:
                continue
            found += 1
            right += best["label"] == face["expression"]
            uncertain += best["label"] == "uncertain"
    return VideoSummary(len(answers), sum(len(drawn["faces"]) for drawn in truth), found, right, uncertain)
