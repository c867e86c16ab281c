"""Metrics for Prometheus, in its text format 0.0.4."""

from collections.abc import Iterable, Mapping
from itertools import accumulate

from fer_edge.preview.state import AGES_S, PreviewState, RunInfo

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def as_metrics(state: PreviewState, about: RunInfo) -> str:
    """Return all counters since the start and the current gauges."""
    totals, newest = state.totals(), state.newest
    stages = {stage: seconds for stage, seconds in totals.stage_s.items() if stage != "total"}
    lines = [
        *_family("info", "gauge", "Source and model.", {_labels(source=about.source, model=about.model): 1}),
        *_family("up", "gauge", "1 while frames arrive.", {"": int(state.problem() is None)}),
        *_family("frames_total", "counter", "Frames processed.", {"": totals.frames}),
        *_family(
            "dropped_frames_total",
            "counter",
            "Frames dropped.",
            {"": newest.result.dropped if newest else 0},
        ),
        *_family("frames_per_second", "gauge", "Frame rate over the last seconds.", {"": round(state.fps(), 3)}),
        *_family("last_frame_seconds", "gauge", "Seconds since the last frame.", {"": round(state.quiet_s(), 3)}),
        *_family("faces", "gauge", "Faces in the last frame.", {"": len(newest.result.faces) if newest else 0}),
        *_family("changes_total", "counter", "Faces that appeared, left or changed expression.", {"": totals.changes}),
        *_family(
            "stage_seconds_total",
            "counter",
            "Time spent in each stage.",
            {_labels(stage=stage): round(seconds, 6) for stage, seconds in stages.items()},
        ),
        *_head("frame_age_seconds", "histogram", "Time from a frame's capture to its result."),
    ]
    bounds = [*(f"{bound:g}" for bound in AGES_S), "+Inf"]
    for bound, count in zip(bounds, accumulate(totals.ages), strict=True):
        lines.append(f"fer_edge_frame_age_seconds_bucket{_labels(le=bound)} {count}")
    lines.append(f"fer_edge_frame_age_seconds_sum {totals.age_s:.6f}")
    lines.append(f"fer_edge_frame_age_seconds_count {totals.frames}")
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP fer_edge_{name} {meaning}", f"# TYPE fer_edge_{name} {kind}"]


def _family(name: str, kind: str, meaning: str, values: Mapping[str, float]) -> Iterable[str]:
    return _head(name, kind, meaning) + [f"fer_edge_{name}{labels} {value}" for labels, value in values.items()]


def _labels(**labels: str) -> str:
    r"""Format labels, escaped.

    >>> _labels(source='a "b"\n')
    '{source="a \\"b\\"\\n"}'
    """
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    return "{" + ",".join(f'{name}="{value.translate(escapes)}"' for name, value in labels.items()) + "}"
