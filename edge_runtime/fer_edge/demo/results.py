"""Read the files that the commands wrote, for the report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.errors import DataError
from fer_edge.imaging.crop import Box, overlap

SAME_FACE = 0.4
"""Minimum overlap of a detected box and a drawn face."""


@dataclass(frozen=True)
class VideoSummary:
    """Results of `fer-edge run` on the drawn video, compared with its ground truth."""

    frames: int
    drawn: int
    """Faces in the video, over all frames."""
    found: int
    right: int
    """Detected faces with the correct expression."""
    uncertain: int
    """Detected faces labelled uncertain."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file with one JSON object per line.

    Raises:
        DataError: It is missing or damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot read it ({error}); start the demo again: fer-edge demo") from error


def summarise_video(answers: list[dict[str, Any]], truth: list[dict[str, Any]]) -> VideoSummary:
    """Compare the results of `run` with the ground truth.

    Args:
        answers: Its JSON, one object per frame.
        truth: Ground truth, one object per frame: its faces with expression and box.
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
