"""From a run of a face detector to two model files and a proof: convert, compare on held-out photos, write, report."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.centre_points import STRIDE, Faces, Floats
from fer_edge.detect import CentrePoints
from fer_edge.detection_metrics import FALSE_PER_PHOTO, LEAST_SCORE, SMALLEST, Curve, figures, judge_photos
from fer_edge.detector_contract import DetectorContract, DetectorFile, DetectorGolden, fitted, write_detector
from fer_edge.detector_selftest import make_golden
from fer_edge.errors import DataError, ModelError, UsageError
from fer_edge.files import write_json, write_text
from fer_edge.images import Pixels
from fer_edge.interpreter import Engine
from fer_edge.photoset import Photo, PhotoSet
from fer_edge.versions import installed
from fer_edge_export.calibrate import SAMPLES
from fer_edge_export.convert import convert
from fer_edge_export.gate import passes
from fer_edge_export.network import MULTIPLE, facts, load_detector
from fer_edge_export.recipes import RECIPES
from fer_edge_export.settings import PACKAGES, ExportSettings


def export_detector(
    weights: Path, config: dict[str, Any], settings: ExportSettings, out: Path | None
) -> tuple[Path, dict[str, Any]]:
    """Export a run of `fer-edge train --task detect`; write both models and the report, whether or not the gate passes.

    The threshold is chosen on the validation photos: where int8 gives `FALSE_PER_PHOTO` false alarms. The gate compares
    recall at that many false alarms on the testing photos, each model at its own threshold.

    Args:
        weights: A `.keras` file in its run folder.
        config: The run's config.json.
        settings: What decides the export.
        out: Folder for the files; by default `export` in the run folder.

    Returns:
        The folder and the report.

    Raises:
        FerEdgeError: A file cannot be read, converted or written, or another recipe than int8 is asked for.
    """
    if settings.recipe != "int8" or settings.gate != "point" or settings.c_array:
        raise UsageError("--recipe, --auto, --gate, --c-array are for expression networks; a face detector gets int8")
    run = weights.parent
    photos = PhotoSet.load(run / "photos.npz")
    split, judged = _held_out(photos, run)
    network = load_detector(weights, settings.size_wh)
    height, width = (int(side) for side in network.input_shape[1:3])
    calibration = _calibration(photos, width, height, settings)
    folder = out or run / "export"
    contract = DetectorContract(
        width=width,
        height=height,
        recipe="",
        threshold=0.5,
        network=facts(network, str(config["network"]["name"])),
        made_with=installed(PACKAGES),
    )
    flatbuffers = {name: convert(network, RECIPES[name], calibration) for name in ("float32", "int8")}
    if all(_resizes(flatbuffer, width, height) for flatbuffer in flatbuffers.values()):
        contract = replace(contract, multiple=MULTIPLE)
    models = {
        recipe: DetectorFile(folder / f"model_{recipe}.tflite", content, replace(contract, recipe=recipe), _no_golden())
        for recipe, content in flatbuffers.items()
    }
    curves = {recipe: _curve(model, judged) for recipe, model in models.items()}
    if curves["int8"].faces == 0:
        raise DataError(f"no {split} face of {run / 'photos.npz'} is sure and large enough to judge int8 on")
    chosen = {recipe: _curve(model, photos.part("validation")) for recipe, model in models.items()}
    recalls = {recipe: figures(curve) for recipe, curve in curves.items()}
    drop = round(recalls["float32"]["recall"] - recalls["int8"]["recall"], 6)
    report: dict[str, Any] = {
        "run": str(run),
        "task": "faces",
        "recipe": "int8",
        "weights": weights.name,
        "network": contract.network,
        "input": [width, height],
        "heldout": {"split": split},
        "calibration": {"photos": len(calibration), "seed": settings.seed},
        "gate": {"max_drop": settings.max_drop, "passed": passes(drop, settings.max_drop)},
        "comparison": {
            "photos": curves["int8"].photos,
            "faces": curves["int8"].faces,
            "smallest_face": SMALLEST,
            "false_per_photo": FALSE_PER_PHOTO,
            "drop": drop,
            **recalls,
        },
        "made_with": contract.made_with,
        "files": {},
    }
    for recipe, model in models.items():
        finished = replace(
            model.contract,
            # a digit lower: what has just this score counts, and in int8 that is many
            threshold=round(figures(chosen[recipe])["threshold"] - 1e-6, 6),
            data={
                "training": config["source"],
                "judged_on": report["heldout"],
                "calibration": report["calibration"],
            },
            metrics={**report["comparison"], "gate": report["gate"]},
        )
        _write(replace(model, contract=finished), report)
    write_json(folder / "export_report.json", report)
    write_text(folder / "export_report.md", as_markdown(report))
    return folder, report


def _held_out(photos: PhotoSet, run: Path) -> tuple[str, list[Photo]]:
    for split in ("testing", "validation"):
        judged = photos.part(split)
        if any(len(photo.boxes) for photo in judged):
            return split, judged
    raise DataError(f"{run / 'photos.npz'} has no held-out photo with a face to judge int8 on; make a new run")


def _calibration(photos: PhotoSet, width: int, height: int, settings: ExportSettings) -> Pixels:
    training = photos.part("training")
    order = np.random.default_rng(settings.seed).permutation(len(training))[: settings.calib_samples or SAMPLES]
    return np.stack([fitted(training[index].pixels, width, height)[0] for index in sorted(order)])


def _curve(model: DetectorFile, photos: Sequence[Photo]) -> Curve:
    detector = CentrePoints(model, LEAST_SCORE)

    def find(pictures: Sequence[Pixels]) -> Iterator[Faces]:
        return map(detector.find, pictures)

    return judge_photos(photos, model.contract.width, model.contract.height, find)


def _resizes(flatbuffer: bytes, width: int, height: int) -> bool:
    """Tell whether the network answers for inputs of other sizes as it does for its own: with maps of their size."""
    if width % MULTIPLE or height % MULTIPLE:
        return False
    shape = (1, height + MULTIPLE, width + 2 * MULTIPLE, 1)
    rows, columns = shape[1] // STRIDE, shape[2] // STRIDE
    try:
        Engine(Path("model"), flatbuffer, shape=shape).expect(shape, (1, rows, columns, 1), (1, rows, columns, 8))
    except ModelError:
        return False
    return True


def _no_golden() -> DetectorGolden:
    pixels, maps = np.zeros((0, 0, 0), np.uint8), np.zeros((0, 0, 0, 0), np.float32)
    boxes: Floats = np.zeros((0, 5), np.float32)
    return DetectorGolden(pixels, pixels, maps, maps, boxes)


def _write(model: DetectorFile, report: dict[str, Any]) -> None:
    write_detector(model.path, model.flatbuffer, model.contract, make_golden(model))
    recipe = model.contract.recipe
    report["files"][recipe] = {"name": model.path.name, "bytes": model.path.stat().st_size}


def as_markdown(report: dict[str, Any]) -> str:
    """Write the report as Markdown; people read the same in the terminal."""
    comparison, gate, network = report["comparison"], report["gate"], report["network"]
    passed = "passed" if gate["passed"] else "FAILED"
    rows = [
        f"| {recipe} | {comparison[recipe]['recall']:.4f} | {comparison[recipe]['threshold']:.3f} "
        f"| {report['files'][recipe]['bytes']:,} |"
        for recipe in ("float32", "int8")
    ]
    lines = [
        f"# Export of {network['name']}, {report['input'][0]}x{report['input'][1]}",
        "",
        f"{comparison['photos']:,} {report['heldout']['split']} photos, {comparison['faces']:,} faces from "
        f"{comparison['smallest_face']:g} pixels on. int8 drop {comparison['drop']:.4f} ({passed}; allowed "
        f"{gate['max_drop']:g}).",
        "",
        f"| | recall at {comparison['false_per_photo']:g} false alarms per photo | at score | bytes |",
        "|---|---:|---:|---:|",
        *rows,
        "",
        f"- Network: {network['name']}, {network['parameters']:,} parameters, {network['macs']:,} multiply-accumulates",
        f"- Calibrated with {report['calibration']['photos']} training photos, seed {report['calibration']['seed']}",
        "- Made with " + ", ".join(f"{package} {number}" for package, number in report["made_with"].items()),
    ]
    return "\n".join(lines) + "\n"
