"""A folder with classes of one's own goes through the whole chain: train, export, run."""

import json
from pathlib import Path

import cv2

from fer_edge.imaging.images import Pixels, write_picture
from fer_edge.synthetic.render import draw_face
from support.command import FerEdge

CLASSES = ("frown", "smile", "tongue")


def draw(name: str, seed: int) -> Pixels:
    """Draw a person who does `name`; (64, 64, 3) uint8 BGR."""
    frame_bgr, box = draw_face({"frown": "anger", "smile": "happiness", "tongue": "surprise"}[name], seed, 64)
    if name == "tongue":
        mouth = (round(box.x + box.w / 2), round(box.y + 0.85 * box.h))
        cv2.ellipse(frame_bgr, mouth, (round(0.12 * box.w), round(0.18 * box.h)), 0, 0, 360, (120, 90, 230), -1)
    return frame_bgr


def test_a_folder_with_three_classes_of_ones_own_trains_exports_and_runs(fer_edge: FerEdge, tmp_path: Path) -> None:
    for name in CLASSES:
        for seed in range(80):
            write_picture(tmp_path / "own" / name / f"{name}{seed}.png", draw(name, seed))

    settings = [
        "--network",
        "legend-cnn",
        "--epochs",
        "10",
        "--batch",
        "16",
        "--learning-rate",
        "0.001",
        "--no-augment",
    ]
    trained = json.loads(
        fer_edge("train", "--data", "own", *settings, "--ema", "0", "--json", cwd=tmp_path, code=0).stdout
    )
    fer_edge("export", "runs/train/exp", cwd=tmp_path, code=0)

    assert list(trained["testing"]["per_class"]) == list(CLASSES)
    assert trained["testing"]["accuracy"] > 0.6  # by chance: 0.33
    model = "runs/train/exp/export/model_int8.tflite"
    for name in CLASSES:
        write_picture(tmp_path / "new.png", draw(name, 1000))
        command = ["run", "--model", model, "--source", "new.png", "--detector", "none", "--json"]
        told = json.loads(fer_edge(*command, cwd=tmp_path, code=0).stdout)
        [face] = told["faces"]
        assert face["label"] in CLASSES
        assert list(face["probs"]) == list(CLASSES)
