"""From a run to two model files and a proof: convert, compare on held-out faces, write, report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.classify import Classifier
from fer_edge.contract import Contract, Golden, ModelFile, write_model
from fer_edge.errors import DataError, UsageError
from fer_edge.faceset import FaceSet, Protocol
from fer_edge.files import write_json, write_text
from fer_edge.metrics import fit_temperature
from fer_edge.seen import write_seen
from fer_edge.selftest import make_golden
from fer_edge.versions import installed
from fer_edge_export.calibrate import choose
from fer_edge_export.compare import compare
from fer_edge_export.convert import to_float32, to_int8
from fer_edge_export.detector import export_detector
from fer_edge_export.gate import passes
from fer_edge_export.inputs import Inputs, read_inputs, read_task
from fer_edge_export.network import facts, load_network
from fer_edge_export.report import as_markdown
from fer_edge_export.settings import PACKAGES, ExportSettings


def export(run: Path, settings: ExportSettings, out: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Export `run` and write both models, labels.txt and the report, whether or not the gate passes.

    Args:
        run: A run folder, or a `.keras` file (outside a run folder, `settings.data` is needed).
        settings: What decides the export.
        out: Folder for the files; by default `export` in the run folder.

    Returns:
        The folder and the report; `fer_edge_export.gate.check` judges it.

    Raises:
        FerEdgeError: A file cannot be read, converted or written.
    """
    task = read_task(run)
    if task is not None:
        if settings.data:
            raise UsageError("--data is for expression networks; a face detector is judged on its run's own photos")
        weights = run if run.suffix == ".keras" else run / f"{settings.use_weights}.keras"
        return export_detector(weights, task, settings, out)
    if settings.size_wh:
        raise UsageError("--imgsz is for face detectors; an expression network keeps the size that it was trained at")
    inputs = read_inputs(run, settings.data, settings.use_weights)
    split, judged = held_out(inputs.heldout, settings.protocol)
    calibration = choose(inputs.training, settings.calib_samples, settings.seed)
    network = load_network(inputs.network)
    check_shapes(inputs, network)
    folder = out or inputs.folder
    models = _convert(network, inputs.name or network.name, calibration, folder)
    logits = {recipe: Classifier(model).network.logits(judged.faces) for recipe, model in models.items()}
    temperature = inputs.temperature
    if temperature is None:
        temperature = _fit_temperature(models["float32"], inputs.heldout, settings.protocol)
    comparison = compare(logits["float32"], logits["int8"], judged.labels, judged.classes, temperature)
    report = {
        "run": str(run),
        "weights": inputs.network.name,
        "network": models["int8"].contract.network,
        "heldout": {"split": split, "protocol": settings.protocol if judged.voted else "one label per face"},
        "calibration": {
            "faces": len(calibration),
            "seed": settings.seed,
            "per_class": calibration.counts(),
            "source": calibration.source,
        },
        "temperature": temperature,
        "uncertain_below": models["int8"].contract.uncertain_below,
        "gate": {"max_drop": settings.max_drop, "passed": passes(comparison["drop"], settings.max_drop)},
        "comparison": comparison,
        "made_with": models["int8"].contract.made_with,
    }
    _write(models, report, {"training": inputs.source, "heldout": inputs.heldout.source}, folder)
    write_seen(folder, inputs.seen, inputs.source)
    return folder, report


def held_out(faces: FaceSet, protocol: Protocol) -> tuple[str, FaceSet]:
    """Choose the faces to judge on: the testing part if the set has one, else the validation part.

    Returns:
        The name of the part, and its faces under `protocol`.

    Raises:
        DataError: No face is left.
    """
    split = "testing" if (faces.split == "testing").any() else "validation"
    judged = faces.part(split).under(protocol)
    if len(judged) == 0:
        raise DataError(
            f"no {split} face to judge int8 on (protocol {protocol}); "
            "give a set with held-out faces: --data SET.npz, or --protocol all"
        )
    return split, judged


def check_shapes(inputs: Inputs, network: Any) -> None:
    """Make sure that network, classes and faces belong together.

    Raises:
        DataError: Faces or classes are not those of the network.
    """
    size, classes = int(network.input_shape[1]), int(network.output_shape[1])
    if inputs.heldout.size != size:
        raise DataError(
            f"{inputs.network} takes {size}x{size} pixels, the faces have {inputs.heldout.size}; "
            f"prepare them again: --size {size}"
        )
    if len(inputs.heldout.classes) != classes:
        raise DataError(
            f"{inputs.network} has {classes} outputs, the faces have {len(inputs.heldout.classes)} classes "
            f"({', '.join(inputs.heldout.classes)}); give the set that it was trained on"
        )


def _convert(network: Any, name: str, calibration: FaceSet, folder: Path) -> dict[str, ModelFile]:
    """Both models, with a contract that lacks what the comparison finds out."""
    flatbuffers = {"float32": to_float32(network), "int8": to_int8(network, calibration.faces)}
    contract = Contract(
        labels=calibration.classes,
        size=calibration.size,
        recipe="",
        network=facts(network, name),
        made_with=installed(PACKAGES),
    )
    empty = np.zeros((0, 0, 0), np.uint8)
    golden = Golden(empty, np.zeros((0, 4), np.float32), empty, np.zeros((0, 0), np.float32))
    return {
        recipe: ModelFile(folder / f"model_{recipe}.tflite", flatbuffer, replace(contract, recipe=recipe), golden)
        for recipe, flatbuffer in flatbuffers.items()
    }


def _fit_temperature(model: ModelFile, heldout: FaceSet, protocol: Protocol) -> float:
    validation = heldout.part("validation").under(protocol)
    return fit_temperature(Classifier(model).network.logits(validation.faces), validation.labels)


def _write(models: dict[str, ModelFile], report: dict[str, Any], sources: dict[str, Any], folder: Path) -> None:
    report["files"] = {}
    for recipe, model in models.items():
        contract = replace(
            model.contract,
            temperature=report["temperature"],
            data={**sources, "judged_on": report["heldout"], "calibration": report["calibration"]},
            metrics=report["comparison"],
        )
        finished = replace(model, contract=contract)
        write_model(finished.path, finished.flatbuffer, contract, make_golden(finished))
        report["files"][recipe] = {"name": model.path.name, "bytes": model.path.stat().st_size}
    write_text(folder / "labels.txt", "".join(f"{label}\n" for label in models["int8"].contract.labels))
    write_json(folder / "export_report.json", report)
    write_text(folder / "export_report.md", as_markdown(report))
