"""How well are faces followed, and how calm are their expressions? A film made of real photos, with known truth.

python -m studies.accuracy.tracking_clip --photos expw/origin --out runs/clip

Photos in which the detector sees exactly one face are moved before a camera that pans, zooms and shakes, alone and many
at once; faces come in and go out, are hidden for a moment, give way to somebody else at the same place (a cut), or turn
into somebody else (for a new expression); in between there is nobody. The film is a compressed video, clip.mp4: it
shows real people, keep it to yourself. Where a photo was put is the truth about its face, what the model says of the
still photo that about its expression. `found` is therefore a share of what can be found.
"""

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from fer_edge.console import console, print_json
from fer_edge.files import make_folder, write_json
from fer_edge.imaging.crop import Box, overlap
from fer_edge.recognition.recognizer import Face, Recognizer
from fer_edge.settings import TrackingSettings
from fer_edge.sources import open_source
from fer_edge.tracking.pipeline import Pipeline
from fer_edge.tracking.smoothing import DEFAULT_SMOOTHING
from studies.accuracy.tracking_video import FPS, HEIGHT, PEOPLE, WIDTH, Shot, read_faces, storyboard, write_film

HIT = 0.4
"""Intersection over union from which on a face is the one that was put there."""
BAR = 60
"""Half the bar's width in pixels."""
NOISE = 4.0
"""Grey levels of the camera's noise, one standard deviation."""


@dataclass
class Tally:
    """What is counted while the film is watched in one way."""

    there: int = 0
    """Faces that could be seen, frame by frame."""
    found: int = 0
    """Those of them that were reported."""
    strangers: int = 0
    """Reported where no photo's face is."""
    asked: int = 0
    """Frames in which the detector was asked."""
    cuts: int = 0
    """Cuts at which it was asked at once."""
    pairs: int = 0
    """Faces that were reported in a frame and in the one before."""
    raw_changes: int = 0
    changes: int = 0
    raw_right: int = 0
    right: int = 0
    ids: dict[tuple[int, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    """Of each person."""
    overlaps: list[float] = field(default_factory=list)
    """Of each followed box, where the detector was not asked, with the nearest that it finds there."""

    def add(self, shot: Shot, faces: list[Face], last: dict[int, Face], alone: list[Box]) -> None:
        """Hold what was reported of a frame against the truth.

        Args:
            shot: What the frame shows.
            faces: What was reported.
            last: What was reported of the frame before, by id.
            alone: What the detector finds in this frame; empty where it was asked.
        """
        self.strangers += strangers(shot, [Box(*face.box) for face in faces])
        for person, layer in shot.faces().items():
            self.there += 1
            face = max(faces, key=lambda face: overlap(Box(*face.box), layer.box), default=None)
            if face is None or face.id is None or overlap(Box(*face.box), layer.box) < HIT:
                continue
            raw = face.raw_label or face.label
            self.found += 1
            self.ids[person].add(face.id)
            self.raw_right += raw == layer.photo.label
            self.right += face.label == layer.photo.label
            if face.id in last:
                self.pairs += 1
                self.raw_changes += raw != (last[face.id].raw_label or last[face.id].label)
                self.changes += face.label != last[face.id].label
            if alone:
                self.overlaps.append(max(overlap(Box(*face.box), box) for box in alone))

    def report(self, frames: int, cuts: int, people: int) -> dict[str, Any]:
        """Say what came of it."""
        owners = Counter(number for ids in self.ids.values() for number in ids)
        seconds = self.pairs / FPS
        return {
            "found": round(self.found / self.there, 4),
            "strangers_per_frame": round(self.strangers / frames, 3),
            "detector_asked": round(self.asked / frames, 3),
            "cuts_noticed_at_once": f"{self.cuts} of {cuts}",
            "people_found": f"{len(self.ids)} of {people}",
            "second_ids": sum(len(ids) - 1 for ids in self.ids.values()),
            "ids_of_several_people": sum(count > 1 for count in owners.values()),
            "label_changes_per_s": {
                "before": round(self.raw_changes / seconds, 3),
                "after": round(self.changes / seconds, 3),
            },
            "as_the_still_photo": {
                "before": round(self.raw_right / self.found, 4),
                "after": round(self.right / self.found, 4),
            },
            "overlap_with_detection": _spread(self.overlaps),
        }


def strangers(shot: Shot, boxes: list[Box]) -> int:
    """Count the boxes where no photo's face is, in sight or not: false alarms, and people in the background."""
    return sum(all(overlap(box, layer.box) < HIT / 2 for layer in shot.layers) for box in boxes)


def _spread(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"n": 0}
    low, middle = np.quantile(values, [0.05, 0.5])
    return {"n": len(values), "median": round(float(middle), 3), "p5": round(float(low), 3)}


def watched(film: Path, shots: list[Shot], watcher: Pipeline, alone: list[list[Box]]) -> Tally:
    """Watch the film; `alone` is what the detector finds in each frame by itself."""
    tally, scene = Tally(), -1
    last: dict[int, Face] = {}
    for frame, shot, boxes in zip(open_source(str(film)), shots, alone, strict=True):
        result = watcher.step(frame)
        asked = result.ms["detect"] > 0
        tally.asked += asked
        tally.cuts += asked and shot.scene != scene
        tally.add(shot, result.faces, last, [] if asked else boxes)
        last = {face.id: face for face in result.faces if face.id is not None}
        scene = shot.scene
    return tally


def delays(film: Path, shots: list[Shot], watcher: Pipeline) -> list[float]:
    """Seconds from when a new expression outweighs the old one until it is named, where each frame alone names it."""
    begun, taken = 0.0, {}
    for frame, shot in zip(open_source(str(film)), shots, strict=True):
        result = watcher.step(frame)
        if shot.kind != "new expression" or shot.layers[0].photo.label == shot.layers[1].photo.label:
            continue
        if shot.layers[0].there:
            begun = frame.t
        elif shot.scene not in taken and any(face.label == shot.layers[1].photo.label for face in result.faces):
            taken[shot.scene] = frame.t - begun
    return list(taken.values())


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos with faces.")],
    out: Annotated[Path, typer.Option(help="Folder for clip.mp4 and clip.json, outside the repository.")],
    rounds: Annotated[int, typer.Option(min=1, help=f"Of all scenes; each takes {PEOPLE} photos.")] = 4,
    seed: Annotated[int, typer.Option(help="Which photos, and how the camera shakes.")] = 0,
) -> None:
    """Make the film, watch it in several ways, and print what came of it as JSON."""
    cv2.setNumThreads(1)
    make_folder(out)
    recognizer = Recognizer()
    shots = list(storyboard(read_faces(photos, recognizer, rounds * PEOPLE, seed), seed))
    film = out / "clip.mp4"
    write_film(film, shots, seed)
    console.print(f"wrote {film}; it shows real people: keep it to yourself")
    alone = [[one.box for one in recognizer.detector.detect(frame.bgr)] for frame in open_source(str(film))]
    there = [(layer.box, boxes) for shot, boxes in zip(shots, alone, strict=True) for layer in shot.faces().values()]
    cuts, people = len({shot.scene for shot in shots}), len({person for shot in shots for person in shot.faces()})
    report: dict[str, Any] = {"frames": len(shots), "fps": FPS, "size": f"{WIDTH}x{HEIGHT}", "faces": len(there)}
    hits = [any(overlap(box, other) >= HIT for other in boxes) for box, boxes in there]
    report["found_frame_by_frame"] = round(statistics.mean(hits), 4)
    report["strangers_frame_by_frame"] = round(statistics.mean(map(strangers, shots, alone)), 3)
    for every in (1, 3, 5, 10):
        tally = watched(film, shots, Pipeline(recognizer, TrackingSettings(detect_every=every)), alone)
        report[f"detect_every_{every}"] = tally.report(len(shots), cuts, people)
    for name, smooth in (("before", None), ("after", DEFAULT_SMOOTHING)):
        taken = delays(film, shots, Pipeline(recognizer, TrackingSettings(detect_every=1), smooth))
        report[f"delay_s_{name}"] = [round(value, 2) for value in taken]
    write_json(out / "clip.json", report)
    print_json(report)


if __name__ == "__main__":
    typer.run(main)
