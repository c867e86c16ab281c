"""fer-edge: facial expression recognition on small devices.

Definitions shared by training and device (class names, crop, colour, the model file's contract) are in this package
only; `fer_edge_train`, `fer_edge_export` and `fer_edge_bench` import them.

In Python, `Recognizer().predict(frame)` returns the faces of one frame, `stream("0")` yields the results of a camera.
Each thread needs its own `Recognizer` or `stream`; `Face` and `Result` are immutable and may be passed to any thread.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fer_edge.app.run import stream
    from fer_edge.recognition.recognizer import Face, Recognizer
    from fer_edge.tracking.pipeline import Result

__version__ = "0.1.0"
__all__ = ["Face", "Recognizer", "Result", "__version__", "stream"]

_MODULES = {
    "Face": "recognition.recognizer",
    "Recognizer": "recognition.recognizer",
    "Result": "tracking.pipeline",
    "stream": "app.run",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that `fer-edge --help` loads neither OpenCV nor LiteRT."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"fer_edge.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'fer_edge' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what can be imported from here, loaded already or not."""
    return sorted({*globals(), *__all__})
