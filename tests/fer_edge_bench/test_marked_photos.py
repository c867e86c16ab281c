"""Reading photos with annotated faces."""

from pathlib import Path

import numpy as np

from fer_edge.imaging.images import write_picture
from studies.accuracy import marked_photos

TABLE = """picture,split,x,y,w,h,right_eye_x,right_eye_y,left_eye_x,left_eye_y,nose_x,score
b.png,valid,-1,2,20,24,5,8,15,9,10,0.59
a.png,train,1,2,3,4,5,6,7,8,9,0.9
b.png,valid,30,2,10,12,33,6,37,6,35,0.6
c.png,valid,,,,,,,,,,
"""


def folder(root: Path) -> Path:
    for name in "abc":
        write_picture(root / "pictures" / f"{name}.png", np.zeros((30, 60), np.uint8))
    (root / "faces.csv").write_text(TABLE)
    return root


def test_photos_of_a_split_have_their_detections(tmp_path: Path) -> None:
    two, none = marked_photos.read_photos(folder(tmp_path), "valid")

    assert (two.name, two.size_wh) == ("b.png", (60, 30))
    assert two.boxes.tolist() == [[-1, 2, 20, 24], [30, 2, 10, 12]]
    assert two.eyes.tolist() == [[5, 8, 15, 9], [33, 6, 37, 6]]
    assert two.confident.tolist() == [False, True]
    assert (none.name, none.boxes.shape, none.confident.shape) == ("c.png", (0, 4), (0,))


def test_labelled_photos_have_both_kinds_of_boxes_in_pixels_of_the_original(tmp_path: Path) -> None:
    for name in "ab":
        write_picture(tmp_path / "expw" / "origin" / f"{name}.png", np.zeros((60, 120, 3), np.uint8))
    (tmp_path / "expw" / "label.lst").write_text("b.png 0 4 10 50 44 80.5 3\na.png 0 1 2 3 4 50 3\n")

    faces = folder(tmp_path / "faces")

    [(photo, frame, labelled, yunet_boxes)] = marked_photos.read_labelled(tmp_path / "expw", faces)
    [(training, *_)] = marked_photos.read_labelled(tmp_path / "expw", faces, "train")

    assert (photo.name, frame.shape) == ("b.png", (60, 120, 3))
    assert labelled.tolist() == [[10, 4, 40, 40]]
    assert yunet_boxes.tolist() == [[-2, 4, 40, 48], [60, 4, 20, 24]]
    assert training.name == "a.png"
