"""An endless, reproducible video of drawn faces, for machines without a camera."""

import itertools
import time
from collections.abc import Iterator

from fer_edge.settings import View
from fer_edge.sources.frame import Frame, turned
from fer_edge.synthetic.render import clip

FPS = 15.0
SIZE_WH = (640, 480)
CLIP_S = 16.0
"""Length of one `render.clip` in seconds, two per expression; then other people follow."""


def drawn(view: View) -> Iterator[Frame]:
    """Yield the frames of clip after clip."""
    fps, size_wh = view.fps or FPS, view.size or SIZE_WH
    begun, index = time.perf_counter(), 0
    for seed in itertools.count():
        for frame_bgr, _ in clip(round(CLIP_S * fps), seed, size_wh):
            if index % view.vid_stride == 0:
                pixels = turned(frame_bgr, view)
                captured = time.perf_counter()
                yield Frame("fake", index, index / fps, pixels, 1000 * (captured - begun), captured, None, fps)
            index += 1
            begun = time.perf_counter()
