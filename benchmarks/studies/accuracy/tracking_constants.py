"""Which constants of `fer_edge.tracking.tracker` do best? The film of `studies.accuracy.tracking_clip` again.

python -m studies.accuracy.tracking_constants --photos expw/origin --film runs/clip/clip.mp4 --rounds 4 --seed 1

Photos, rounds and seed are those that the film was made with. One constant is changed at a time. `as_still`: share of
faces for which a frame alone names what the still photo says; `changes`: how often that answer changes, per second;
`found` and `strangers` as in clip.py. `likeness`: quantiles of the correlation of followed faces.
"""

from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from fer_edge.console import console, print_json
from fer_edge.recognition.recognizer import Recognizer
from fer_edge.sources import open_source
from fer_edge.tracking import pipeline, tracker
from fer_edge.tracking.pipeline import FollowSettings, Watcher
from fer_edge.tracking.tracker import Follower
from studies.accuracy.tracking_clip import PEOPLE, read_faces, storyboard, watched

TRIALS: dict[str, tuple[tuple[float, ...], int]] = {
    "DAMPING": ((0.0, 0.3, 0.5, 0.7), 1),
    "SURE": ((0.7, 0.85, 0.9), 3),
    "SAME_OVERLAP": ((0.2, 0.3, 0.5), 3),
}
"""Values of a constant, and every how many frames the detector is asked meanwhile."""


def likeness(film: Path, recognizer: Recognizer) -> dict[str, float]:
    """Correlation of every followed face with what the detector saw last, wherever it was still there."""
    follower, seen = Follower(recognizer.detector, detect_every=3), []
    for frame in open_source(str(film)):
        follower.step(frame.bgr, frame.t)
        seen += [one.likeness for one in follower._known if one.there and not one.detected]
    return {f"{share:g}": round(float(np.quantile(seen, share)), 3) for share in (0.005, 0.01, 0.05, 0.5)}


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos with faces.")],
    film: Annotated[Path, typer.Option(help="clip.mp4 of benchmarks/studies/accuracy/tracking_clip.py.")],
    rounds: Annotated[int, typer.Option(min=1)] = 4,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Print what came of each value as JSON."""
    cv2.setNumThreads(1)
    recognizer = Recognizer()
    shots = list(storyboard(read_faces(photos, recognizer, rounds * PEOPLE, seed), seed))
    nothing: list[list[Any]] = [[] for _ in shots]
    report: dict[str, Any] = {"likeness": likeness(film, recognizer)}
    for name, (values, every) in TRIALS.items():
        usual = getattr(tracker, name)
        for value in values:
            setattr(tracker, name, value)
            tally = watched(film, shots, Watcher(recognizer, FollowSettings(detect_every=every)), nothing)
            told = tally.report(len(shots), 1, 1)
            report[f"{name} {value:g}"] = {
                "found": told["found"],
                "strangers": told["strangers_per_frame"],
                "as_still": told["as_the_still_photo"]["before"],
                "changes": told["label_changes_per_s"]["before"],
                "second_ids": told["second_ids"],
            }
            console.print(name, value, report[f"{name} {value:g}"])
        setattr(tracker, name, usual)
    print_json(report | {"detect_every": pipeline.DETECT_EVERY})


if __name__ == "__main__":
    typer.run(main)
