"""The sheet of bad inputs: whatever a user hands over, one clear line on stderr, the right exit code, nothing left."""

import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS
from fer_edge.imaging.images import encode_picture, write_picture
from fer_edge.model.package import read_packed, write_packed
from fer_edge.synthetic.render import draw_face
from support.command import FerEdge, Finished
from support.paths import TINY


def huge_png(side: int) -> bytes:
    """A black PNG of side x side pixels that is small on disk, as a picture bomb is."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * (side + 1) * side, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each."""
    folder = tmp_path_factory.mktemp("bad")
    face, _ = draw_face("happiness", seed=1)
    write_picture(folder / "face.png", face)
    write_picture(folder / "whole.jpg", face)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no picture\n")
    jpeg = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "cut.png").write_bytes((folder / "face.png").read_bytes()[:-30])
    (folder / "huge.png").write_bytes(huge_png(20_000))
    (folder / "cut.bmp").write_bytes(encode_picture(face, ".bmp")[:-30])
    write_picture(folder / "row.png", np.zeros((1, 999_999), np.uint8))
    os.mkfifo(folder / "pipe.png")
    (folder / "text.mp4").write_text("this is no video\n")
    (folder / "notes.txt").write_text("neither\n")
    (folder / "none").mkdir()
    model = TINY.read_bytes()
    tail = zipfile.ZipFile(TINY).infolist()[0].header_offset
    (folder / "bare.tflite").write_bytes(model[:tail])
    (folder / "cut.tflite").write_bytes(model[: len(model) // 2])
    (folder / "text.tflite").write_text("this is no model\n")
    (folder / "empty.tflite").write_bytes(b"")
    (folder / "flipped.tflite").write_bytes(model[:5000] + bytes([model[5000] ^ 255]) + model[5001:])
    (folder / "newer.tflite").write_bytes(model[:tail])
    with zipfile.ZipFile(TINY) as old, zipfile.ZipFile(folder / "newer.tflite", "a") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"version": 1', b'"version": 99'))
    detector = BUNDLED_DETECTORS["int8"].read_bytes()
    (folder / "face.tflite").write_bytes(detector)
    (folder / "face_cut.tflite").write_bytes(detector[: len(detector) // 2])
    packed = read_packed(BUNDLED_DETECTORS["int8"])
    for name, fields in (("old", {"decoding": "centre points"}), ("unscaled", {"scale": [[0.0] * 16] * 3})):
        document = packed.document | fields
        write_packed(folder / f"face_{name}.tflite", packed.flatbuffer, "faces", document, packed.golden)
    (folder / "face_flipped.tflite").write_bytes(detector[:5000] + bytes([detector[5000] ^ 255]) + detector[5001:])
    with zipfile.ZipFile(folder / "network.keras", "w") as keras_file:
        keras_file.writestr("config.json", "{}")
    expw = folder / "expw"
    (expw / "origin").mkdir(parents=True)
    (expw / "label.lst").write_text("photo.jpg 0 1 2 3\n")
    shutil.copy(folder / "whole.jpg", expw / "origin" / "photo.jpg")
    legend = folder / "legend"
    (legend / "data").mkdir(parents=True)
    (legend / "data" / "legend.csv").write_text("who,what\n1,2\n")
    np.savez(folder / "other.npz", x=np.zeros(3))
    return folder


def run_on(picture: str) -> list[str]:
    return ["run", "--model", str(TINY), "--detector", "none", "--source", picture]


def run_with(*flags: str) -> list[str]:
    return ["run", "--model", str(TINY), "--source", "face.png", *flags]


SHEET = [
    (run_on("empty.jpg"), 1, "empty.jpg: the file is empty"),
    (run_on("text.jpg"), 1, "text.jpg: not an image that OpenCV can read"),
    (run_on("cut.jpg"), 1, "cut.jpg: the image is truncated; copy it again"),
    (run_on("cut.png"), 1, "cut.png: the image is truncated; copy it again"),
    (run_on("huge.png"), 1, "huge.png: more than 64 million pixels; scale it down first"),
    (run_on("text.mp4"), 1, "OpenCV cannot read this video; convert it: ffmpeg"),
    (run_on("notes.txt"), 4, "neither an image nor a video; --source takes"),
    (run_on("missing.jpg"), 4, "missing.jpg: no such file or folder; --source takes"),
    (run_on("none"), 4, "none: no images in this folder"),
    (run_on("[/red]gone.jpg"), 4, "[/red]gone.jpg: matches no image"),
    (run_on("97"), 4, "cannot open camera 97;"),
    (run_on("99999999999"), 4, "99999999999: no such file or folder"),
    (run_on("pipe.png"), 4, "pipe.png: neither a file nor a folder"),
    (run_on("cut.bmp"), 1, "cut.bmp: not an image that OpenCV can read"),
    (run_on("row.png"), 1, "is too large for the 999999x1 image"),
    (["run", "--model", "network.keras", "--source", "face.png"], 1, "a Keras file, which only a workstation can run"),
    (["run", "--model", "missing.tflite", "--source", "face.png", "--detector", "none"], 1, "fer-edge export RUN"),
    (run_with("--detector-model", "missing.tflite"), 1, "missing.tflite: No such file or directory; make one"),
    (run_with("--detector-model", "text.tflite"), 1, "not a TFLite model; make one: fer-edge export RUN"),
    (run_with("--detector-model", "empty.tflite"), 1, "the file is empty; copy it again"),
    (run_with("--detector-model", "face_cut.tflite"), 1, "truncated; make one: fer-edge export RUN"),
    (run_with("--detector-model", "face_flipped.tflite"), 1, "the model is damaged (its sha256 differs)"),
    (run_with("--detector-model", str(TINY)), 1, "an expression model, not a face detector; type: --model"),
    (run_with("--detector-model", "face_old.tflite"), 1, "a face detector of another fer-edge version; remove"),
    (run_with("--detector-model", "face_unscaled.tflite"), 1, "scale of channel 0 is 0.0, not a number from 0.0001"),
    (run_with("--detector-model", "no.onnx"), 1, "no.onnx: No such file or directory"),
    (run_with("--detector-model", "notes.txt"), 1, "notes.txt: not a TFLite model"),
    (run_with("--detector", "none", "--detector-model", "no.onnx"), 2, "--detector none takes no file"),
    (run_with("--detector", "int8", "--detector-model", "face.tflite"), 2, "--detector int8 takes no file"),
    (run_with("--detector", "float16", "--detector-model", "face.tflite"), 2, "--detector float16 takes no file"),
    (["run", "--model", "face.tflite", "--source", "face.png"], 1, "not an expression model; type: --detector-mo"),
    (["run", "--model", "text.tflite", "--source", "face.png"], 1, "text.tflite: not a TFLite model"),
    (run_with("--size", "big"), 2, "--size big: use width and height, such as 640x480"),
    (run_with("--fps", "9999"), 2, "--fps must be from 0.1 to 1000.0, not 9999.0"),
    (run_with("--budget-ms", "0"), 2, "--budget-ms must be at least 0.001, not 0.0"),
    (run_with("--rotate", "45"), 2, "--rotate must be 0 or 90 or 180 or 270, not '45'"),
    (run_with("--realtime"), 2, "--realtime does not apply to images"),
    (run_with("--conf", "1.5"), 2, "--conf must be from 0 to 1, not 1.5"),
    (run_with("--detector", "yunet"), 2, "--detector must be auto or int8 or float16 or none, not 'yunet'"),
    (run_with("--threads", "0"), 2, "use a number from 1 to 64, or auto"),
    (run_with("--threads", "99999999999"), 2, "use a number from 1 to 64, or auto"),
    (run_with("--nonsense"), 2, "no flag --nonsense"),
    (["--verson"], 2, "error: no flag --verson; did you mean --version? see: fer-edge --help"),
    (["run", "--sorce", "0"], 2, "error: no flag --sorce; did you mean --source? see: fer-edge run --help"),
    (["run", "--source", "fake", "--blur", "--max-faces", "1"], 2, "would be visible: remove these two, or --blur"),
    (["run", "--source", "fake", "--blur", "--min-face", "40"], 2, "would be visible: remove these two, or --blur"),
    (["trian"], 2, "error: No such command 'trian'. Did you mean 'train'; see: fer-edge --help"),
    (["info", "face_cut.tflite"], 1, "truncated; make one: fer-edge export RUN"),
    (["info", "face_old.tflite", "--json"], 1, "face_old.tflite: a face detector of another fer-edge version; "),
    (["info", "newer.tflite", "--json"], 1, "contract version 99, this fer-edge reads 1; update fer-edge"),
    (["selftest", "face_old.tflite"], 1, "a face detector of another fer-edge"),
    (["benchmark", "--detector-model", "face_old.tflite"], 1, "a face detector of another fer-edge"),
    (["selftest", "face_flipped.tflite"], 1, "the model is damaged (its sha256 differs); copy it again"),
    (["benchmark", "--model", "face.tflite"], 1, "a face detector, not an expression model"),
    ([*run_on("face.png"), "--save", "/proc/nowhere"], 1, "cannot write /proc/nowhere"),
    (["info", "bare.tflite"], 1, "no fer-edge contract, or truncated"),
    (["info", "cut.tflite"], 1, "truncated; make one: fer-edge export RUN"),
    (["info", "text.tflite"], 1, "not a TFLite model; make one: fer-edge export RUN"),
    (["info", "empty.tflite"], 1, "the file is empty; copy it again"),
    (["selftest", "flipped.tflite"], 1, "the model is damaged (its sha256 differs); copy it again"),
    (["selftest", "newer.tflite"], 1, "contract version 99, this fer-edge reads 1; update fer-edge"),
    (["benchmark", "--model", "bare.tflite"], 1, "no fer-edge contract, or truncated"),
    (["benchmark", "--model", str(TINY), "--assert", "speed<1"], 2, "--assert"),
    (["benchmark", "--model", str(TINY), "--assert", "total.p90"], 2, "--assert"),
    (["benchmark", "--model", "missing.tflite"], 1, "missing.tflite: No such file or directory; make one: fer-edge e"),
    (["benchmark", "--detector-model", str(TINY)], 1, "an expression model, not a face detector; type: --model"),
    (["benchmark", "--model", str(TINY), "--source", "missing.png"], 4, "missing.png: no such file or folder"),
    (["prepare", "--data", "missing", "--out", "out"], 1, "missing: no such folder; --data takes"),
    (["prepare", "--data", "none", "--out", "out"], 1, "unknown data set layout; supported are"),
    (["prepare", "--data", "expw", "--out", "out"], 1, "label.lst:1: too few columns: 5 instead of 8"),
    (["prepare", "--data", "legend", "--out", "out"], 1, "legend.csv:1: the header is"),
    (["prepare", "--data", "expw", "--out", "out", "--format", "excel"], 2, "--format excel: unknown; take one of"),
    (["prepare", "--data", "expw"], 2, "give --out DIR or --out SET.npz, or --check"),
    (["prepare", "--check", "--data", "expw", "--imgsz", "48"], 2, "--check writes no face"),
    (["prepare", "--check", "--data", "expw", "--link"], 2, "--check writes no face"),
    (["export", "none"], 1, "not a run folder; create one: fer-edge train --data DIR"),
    (["export", "network.keras", "--data", "other.npz"], 1, "not a prepared set; make one: fer-edge prepare"),
    (["export", "network.keras"], 2, "comes without faces; type: fer-edge export network.keras --data SET.npz"),
    (["train"], 2, "--resume RUN"),
    (["train", "--data", "missing"], 1, "missing"),
    (["train", "--data", "missing.npz"], 1, "fer-edge prepare"),
    (["train", "--resume", "none"], 1, "none is not a run folder"),
    (["train", "--resume", "none", "--epochs", "60"], 2, "--epochs cannot be changed by --resume"),
    (["train", "--resume", "none", "--no-flip"], 2, "--no-flip cannot be changed by --resume"),
    (["train", "--data", "none", "--seed", "4294967296"], 2, "--seed must be from "),
    (["train", "--data", "none", "--epochs", "99999999999999999999"], 2, "--epochs must be from "),
    (["train", "--data", "none", "--learning-rate", "inf"], 2, "--learning-rate must be from "),
    (["train", "--data", "none", "--weight-decay", "inf"], 2, "--weight-decay must be from "),
    (["train", "--data", "none", "--min-box-confidence", "nan"], 2, "--min-box-confidence must be from "),
    (["prepare", "--data", "none", "--out", "out", "--seed", "4294967296"], 2, "--seed must be from "),
    (["export", "none", "--seed", "4294967296"], 2, "--seed must be from "),
    (["evaluate", "-m", "x"], 2, "error: Missing option '--data'; see: fer-edge evaluate --help"),
    (["evaluate", "--model", "missing.tflite", "--data", "expw"], 1, "fer-edge export"),
    (["evaluate", "--model", "missing.keras", "--data", "expw"], 1, "missing.keras: no such file"),
    (["runs", "--project", "missing"], 2, "missing: no such folder; give the folder of your runs"),
    (["service", "status", "--source", "0"], 2, "takes neither flags of run nor --dry-run"),
    (["service", "install", "--dry-run", "--", "--speed", "9"], 2, "no flag --speed; see: fer-edge run --help"),
    (["service", "install", "--dry-run", "--", "--conf", "7"], 2, "--conf must be from 0 to 1, not 7.0"),
    (["service", "install", "--dry-run", "--", "0"], 2, "unexpected extra argument"),
    (["service", "install", "--dry-run", "--", "--detector", "best"], 2, "or int8 or float16 or none, not 'best'"),
]  # fmt: skip


def judge(finished: Finished, code: int, message: str) -> None:
    lines = finished.stderr.strip().splitlines()
    assert (finished.code, len(lines)) == (code, 1), finished.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert finished.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"), SHEET, ids=[" ".join(row[0]).replace(str(TINY), "tiny") for row in SHEET]
)
def test_bad_input_gets_one_clear_line(
    fer_edge: FerEdge, bad: Path, arguments: list[str], code: int, message: str
) -> None:
    before = sorted(bad.rglob("*"))

    judge(fer_edge(*arguments, cwd=bad), code, message)

    assert sorted(bad.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    {(row[0][0], row[1]): row for row in SHEET}.values(),  # one of each command and exit code
)
def test_a_process_of_its_own_ends_as_every_other_call_here(
    bad: Path, arguments: list[str], code: int, message: str
) -> None:
    command = [sys.executable, "-m", "fer_edge", *arguments]
    done = subprocess.run(command, cwd=bad, capture_output=True, text=True, timeout=120, check=False)

    judge(Finished(done.returncode, done.stdout, done.stderr), code, message)
