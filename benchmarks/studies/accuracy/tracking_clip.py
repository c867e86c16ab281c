"""Tracking and smoothing on a video made of real photos, with ground truth.

python -m studies.accuracy.tracking_clip --photos expw/origin --out runs/clip

Photos in which the detector finds exactly one face are moved in front of a simulated camera that pans, zooms and
shakes, one or several at a time; faces enter and leave, are occluded, are replaced by another person at the same place
(a cut), or turn into another face (a new expression); some scenes are empty. The result is a compressed video,
clip.mp4: it shows real people, do not publish it. Ground truth is the position of each photo, and the model's label of
the still photo. `found` is therefore a share of the faces that can be detected.
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
from studies.accuracy.tracking_video import FPS, HEIGHT, PEOPLE, WIDTH, FramePlan, plan_frames, read_faces, write_video

MIN_IOU = 0.4
"""A reported face matches a photo's face if their intersection over union is at least this."""


@dataclass
class Counts:
    """Counts of one run over the video."""

    visible: int = 0
    """Visible faces, summed over the frames."""
    found: int = 0
    """Visible faces that were reported."""
    false_positives: int = 0
    """Reported faces where no photo's face is."""
    detections: int = 0
    """Frames in which the detector ran."""
    cuts: int = 0
    """Cuts at which the detector ran on the first frame."""
    pairs: int = 0
    """Faces that were reported in two consecutive frames."""
    raw_changes: int = 0
    changes: int = 0
    raw_right: int = 0
    right: int = 0
    ids: dict[tuple[int, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    """Track ids of each person."""
    overlaps: list[float] = field(default_factory=list)
    """Overlap of each tracked box with the nearest detection, in frames without detection."""

    def add(self, plan: FramePlan, faces: list[Face], last: dict[int, Face], detections: list[Box]) -> None:
        """Compare the faces reported in a frame with ground truth.

        Args:
            plan: Content of the frame.
            faces: Reported faces.
            last: Faces reported in the previous frame, by id.
            detections: Boxes that the detector finds in this frame; empty if the tracker ran it.
        """
        self.false_positives += count_false_positives(plan, [Box(*face.box) for face in faces])
        for person, layer in plan.faces().items():
            self.visible += 1
            face = max(faces, key=lambda face: overlap(Box(*face.box), layer.box), default=None)
            if face is None or face.id is None or overlap(Box(*face.box), layer.box) < MIN_IOU:
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
            if detections:
                self.overlaps.append(max(overlap(Box(*face.box), box) for box in detections))

    def report(self, frames: int, cuts: int, people: int) -> dict[str, Any]:
        """Return the metrics."""
        owners = Counter(number for ids in self.ids.values() for number in ids)
        seconds = self.pairs / FPS
        return {
            "found": round(self.found / self.visible, 4),
            "strangers_per_frame": round(self.false_positives / frames, 3),
            "detector_asked": round(self.detections / frames, 3),
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


def count_false_positives(plan: FramePlan, boxes: list[Box]) -> int:
    """Count boxes where no photo's face is, visible or not: false positives, and people in the background."""
    return sum(all(overlap(box, layer.box) < MIN_IOU / 2 for layer in plan.layers) for box in boxes)


def _spread(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"n": 0}
    low, middle = np.quantile(values, [0.05, 0.5])
    return {"n": len(values), "median": round(float(middle), 3), "p5": round(float(low), 3)}


def evaluate(video: Path, plans: list[FramePlan], pipeline: Pipeline, detections: list[list[Box]]) -> Counts:
    """Run the pipeline on the video; `detections` are the detector's boxes in each frame."""
    counts, scene = Counts(), -1
    last: dict[int, Face] = {}
    for frame, plan, boxes in zip(open_source(str(video)), plans, detections, strict=True):
        result = pipeline.step(frame)
        detected = result.ms["detect"] > 0
        counts.detections += detected
        counts.cuts += detected and plan.scene != scene
        counts.add(plan, result.faces, last, [] if detected else boxes)
        last = {face.id: face for face in result.faces if face.id is not None}
        scene = plan.scene
    return counts


def label_delays(video: Path, plans: list[FramePlan], pipeline: Pipeline) -> list[float]:
    """Return the seconds from when a new expression outweighs the old one until its label is reported."""
    start, delays = 0.0, {}
    for frame, plan in zip(open_source(str(video)), plans, strict=True):
        result = pipeline.step(frame)
        if plan.kind != "new expression" or plan.layers[0].photo.label == plan.layers[1].photo.label:
            continue
        if plan.layers[0].visible:
            start = frame.t
        elif plan.scene not in delays and any(face.label == plan.layers[1].photo.label for face in result.faces):
            delays[plan.scene] = frame.t - start
    return list(delays.values())


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos with faces.")],
    out: Annotated[Path, typer.Option(help="Folder for clip.mp4 and clip.json, outside the repository.")],
    rounds: Annotated[int, typer.Option(min=1, help=f"Repetitions of all scenes; each needs {PEOPLE} photos.")] = 4,
    seed: Annotated[int, typer.Option(help="Random seed of the choice of photos and the camera shake.")] = 0,
) -> None:
    """Make the video, run the tracker with several settings, and print the results as JSON."""
    cv2.setNumThreads(1)
    make_folder(out)
    recognizer = Recognizer()
    plans = list(plan_frames(read_faces(photos, recognizer, rounds * PEOPLE, seed), seed))
    video = out / "clip.mp4"
    write_video(video, plans, seed)
    console.print(f"wrote {video}; it shows real people: do not publish it")
    detections = [[one.box for one in recognizer.detector.detect(frame.bgr)] for frame in open_source(str(video))]
    visible = [
        (layer.box, boxes) for plan, boxes in zip(plans, detections, strict=True) for layer in plan.faces().values()
    ]
    cuts, people = len({plan.scene for plan in plans}), len({person for plan in plans for person in plan.faces()})
    report: dict[str, Any] = {"frames": len(plans), "fps": FPS, "size": f"{WIDTH}x{HEIGHT}", "faces": len(visible)}
    hits = [any(overlap(box, other) >= MIN_IOU for other in boxes) for box, boxes in visible]
    report["found_frame_by_frame"] = round(statistics.mean(hits), 4)
    report["strangers_frame_by_frame"] = round(statistics.mean(map(count_false_positives, plans, detections)), 3)
    for every in (1, 3, 5, 10):
        counts = evaluate(video, plans, Pipeline(recognizer, TrackingSettings(detect_every=every)), detections)
        report[f"detect_every_{every}"] = counts.report(len(plans), cuts, people)
    for name, smooth in (("before", None), ("after", DEFAULT_SMOOTHING)):
        delays = label_delays(video, plans, Pipeline(recognizer, TrackingSettings(detect_every=1), smooth))
        report[f"delay_s_{name}"] = [round(value, 2) for value in delays]
    write_json(out / "clip.json", report)
    print_json(report)


if __name__ == "__main__":
    typer.run(main)
