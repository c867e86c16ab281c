"""The demo's data: class folders of drawn faces, and a video of two drawn people."""

import json
from pathlib import Path

import cv2

from fer_edge.console import progress
from fer_edge.errors import FerEdgeError
from fer_edge.files import replacing, write_text
from fer_edge.imaging.images import write_picture
from fer_edge.labels import EXPRESSIONS
from fer_edge.synthetic.render import clip, draw_face

FACE_SIZE = 64
FRAMES_PER_SECOND = 12
CLIP_FRAMES = 96
CLIP_SEED = 19


def write_faces(folder: Path, per_class: int) -> None:
    """Draw `per_class` faces of each expression, all of different people, as `folder`/CLASS/NUMBER.png."""
    with progress() as bar:
        task = bar.add_task("drawing faces", total=per_class * len(EXPRESSIONS))
        for row, expression in enumerate(EXPRESSIONS):
            for number in range(per_class):
                face, _ = draw_face(expression, seed=row * per_class + number, size=FACE_SIZE)
                write_picture(folder / expression / f"{number:04}.png", face)
                bar.advance(task)


def write_clip(video: Path, truth: Path, frames: int = CLIP_FRAMES) -> None:
    """Draw a video, and write its ground truth as JSON, one line per frame: {"faces": [{"expression", "box"}]}.

    Raises:
        FerEdgeError: OpenCV cannot write the video.
    """
    frames_json = []
    with replacing(video) as temporary, progress() as bar:
        writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), FRAMES_PER_SECOND, (640, 480))
        if not writer.isOpened():
            raise FerEdgeError(
                f"cannot write {video}: OpenCV has no MPEG-4 encoder; type: pip install opencv-python-headless"
            )
        task = bar.add_task("drawing a video", total=frames)
        for frame_bgr, faces in clip(frames, CLIP_SEED):
            writer.write(frame_bgr)
            frames_json.append({"faces": [{"expression": expression, "box": list(box)} for expression, box in faces]})
            bar.advance(task)
        writer.release()
    write_text(truth, "".join(json.dumps(frame) + "\n" for frame in frames_json))
