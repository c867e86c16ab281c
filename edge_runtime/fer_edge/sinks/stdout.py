"""Print one line per frame: text or JSON."""

import json
import os
import sys
from typing import Any

from fer_edge.detection.detector import LANDMARK_NAMES, Landmarks
from fer_edge.errors import FerEdgeError
from fer_edge.recognition.recognizer import Face
from fer_edge.sinks import Sink
from fer_edge.tracking.pipeline import Event, Result


class StdoutSink(Sink):
    """Prints a line per frame on stdout; on a terminal, of a video or camera, only where faces or labels change."""

    def __init__(self, *, json: bool) -> None:
        """Print JSON or text."""
        self._json = json
        self._stdout = sys.stdout.fileno()
        self._brief = not json and os.isatty(self._stdout)
        self._shown: object = None

    def write(self, result: Result) -> None:
        """Print one line.

        Raises:
            BrokenPipeError: The reader closed the pipe.
            FerEdgeError: Writing failed, for example to a full disk.
        """
        if self._brief and result.frame.fps is not None:  # a person reads: what has changed, and not every frame
            shown = [(face.id, face.label) for face in result.faces]
            if shown == self._shown:
                return
            self._shown = shown
        line = json.dumps(as_json(result), allow_nan=False) if self._json else as_text(result)
        # Not through sys.stdout: a thread blocked in it by a slow reader would make Python abort at exit.
        rest = f"{line}\n".encode(errors="surrogateescape")
        try:
            while rest:
                rest = rest[os.write(self._stdout, rest) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise FerEdgeError(f"cannot write to standard output: {error.strerror or error}") from error

    def close(self) -> None:
        """Do nothing: every line is written immediately."""


def as_text(result: Result) -> str:
    """Format a result as one short line of text."""
    frame = result.frame
    place = frame.name if frame.fps is None else f"{frame.name} {frame.t:.2f} s"
    faces = ", ".join(f"{_number(face)}{face.label} {face.score:.2f}" for face in result.faces)
    return f"{place}: {faces or 'no face'}"


def _number(face: Face) -> str:
    return "" if face.id is None else f"{face.id}: "


def as_json(result: Result) -> dict[str, Any]:
    """Return the JSON object of one frame, as `result.schema.json` defines it."""
    frame = result.frame
    document: dict[str, Any] = {
        "source": frame.name,
        "t": round(frame.t, 3),
        "frame": frame.index,
        "age_ms": round(result.age_ms, 2),
        "dropped": result.dropped,
        "detector": result.detector,
        "faces": [
            {
                "id": number if face.id is None else face.id,
                "box": list(face.box),
                "label": face.label,
                "score": round(face.score, 4),
                "probs": {label: round(probability, 4) for label, probability in face.probabilities.items()},
                "stable": face.certain,
                "detection_score": round(face.detection_score, 4),
                "landmarks": _named(face.landmarks),
            }
            for number, face in enumerate(result.faces)
        ],
        "ms": {stage: round(milliseconds, 3) for stage, milliseconds in result.ms.items()},
    }
    if frame.fps is not None:
        document["events"] = [event_as_json(event) for event in result.events]
    return document


def _named(landmarks: Landmarks | None) -> dict[str, list[float]] | None:
    if landmarks is None:
        return None
    pairs = zip(LANDMARK_NAMES, landmarks, strict=True)
    return {name: [round(x, 1), round(y, 1)] for name, (x, y) in pairs}


def event_as_json(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object."""
    return {"t": round(event.t, 3), "id": event.id, "before": event.before, "after": event.after}
