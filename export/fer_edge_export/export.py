"""From a run to two model files and a proof: convert, compare on held-out faces, write, report."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.classify import Classifier
from fer_edge.console import console, progress, warn
from fer_edge.contract import Contract, Golden, ModelFile, write_model
from fer_edge.errors import DataError, UsageError
from fer_edge.faceset import FaceSet, Protocol
from fer_edge.files import sha256, write_bytes, write_json, write_text
from fer_edge.images import Pixels
from fer_edge.metrics import fit_temperature
from fer_edge.seen import write_seen
from fer_edge.selftest import make_golden
from fer_edge.versions import installed
from fer_edge_export.c_array import c_header
from fer_edge_export.calibrate import choose, doubts
from fer_edge_export.compare import Logits, compare, disagreements
from fer_edge_export.convert import convert
from fer_edge_export.detector import export_detector
from fer_edge_export.gate import judge
from fer_edge_export.inputs import Inputs, read_inputs, read_task
from fer_edge_export.layers import FACES, layer_errors
from fer_edge_export.layers_advice import advice, verdict
from fer_edge_export.network import facts, load_network
from fer_edge_export.page import as_page
from fer_edge_export.recipes import LADDER, RECIPES, Recipe
from fer_edge_export.report import as_markdown
from fer_edge_export.settings import PACKAGES, ExportSettings
from fer_edge_export.targets import untaken

BLOCK = 32
"""Faces between two steps of the progress bar."""


@dataclass(frozen=True)
class Rung:
    """One attempt: a model, what it was calibrated with, and how it was judged."""

    model: ModelFile
    calibration: dict[str, Any] | None
    """As the report has it; None where the recipe needs none."""
    comparison: dict[str, Any]
    disagreements: list[dict[str, Any]]
    gate: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Sum it up for the report."""
        figures = {name: self.comparison[name] for name in ("drop", "drop_interval", "agreement")}
        return {
            "recipe": self.model.contract.recipe,
            "seed": self.calibration["seed"] if self.calibration else None,
            "bytes": len(self.model.flatbuffer),
            "accuracy": self.comparison[self.model.contract.recipe]["accuracy"],
            **figures,
            "passed": self.gate["passed"],
            "failures": self.gate["failures"],
        }


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
    network = load_network(inputs.network)
    check_shapes(inputs, network)
    folder = out or inputs.folder
    base = Contract(
        labels=inputs.training.classes,
        size=inputs.training.size,
        recipe="",
        network=facts(network, inputs.name or network.name),
        made_with=installed(PACKAGES),
    )
    float_model = _model(network, RECIPES["float32"], base, folder)
    temperature = inputs.temperature
    if temperature is None:
        temperature = _fit_temperature(float_model, inputs.heldout, settings.protocol)
    rungs = climb(network, inputs.training, judged, float_model, temperature, settings)
    last = rungs[-1]
    report = {
        "run": str(run),
        "weights": inputs.network.name,
        "network": base.network,
        "recipe": last.model.contract.recipe,
        "heldout": {"split": split, "protocol": settings.protocol if judged.voted else "one label per face"},
        "calibration": last.calibration,
        "temperature": temperature,
        "uncertain_below": base.uncertain_below,
        "gate": last.gate,
        "comparison": last.comparison,
        "disagreements": last.disagreements,
        "ladder": [rung.as_json() for rung in rungs],
        **_weak_points(network, float_model, last.model, judged),
        "made_with": base.made_with,
    }
    models = {model.contract.recipe: model for model in (float_model, last.model)}
    _write(models, report, {"training": inputs.source, "heldout": inputs.heldout.source}, folder, settings.c_array)
    write_bytes(folder / "export_report.html", as_page(report, judged))
    write_seen(folder, inputs.seen, inputs.source)
    return folder, report


def climb(
    network: Any,
    training: FaceSet,
    judged: FaceSet,
    float_model: ModelFile,
    temperature: float,
    settings: ExportSettings,
) -> list[Rung]:
    """Make what is asked for, or walk down the ladder until the gate holds; the last rung is what is delivered.

    Args:
        network: keras.Model.
        training: Faces to calibrate with.
        judged: Faces to compare on.
        float_model: The network as it is.
        temperature: Of the logits.
        settings: What decides the export.
    """
    float_logits = answers(float_model, judged.faces)
    rungs: list[Rung] = []
    for name, anew in LADDER if settings.recipe is None else ((settings.recipe, 0),):
        recipe, calibration, faces = RECIPES[name], None, None
        if recipe.calibrated:
            chosen = choose(training, settings.calib_samples, settings.seed + anew)
            calibration, faces = _facts_of(chosen, settings.seed + anew, judged), chosen.faces
        contract, folder = float_model.contract, float_model.path.parent
        model = float_model if name == "float32" else _model(network, recipe, contract, folder, faces)
        logits = float_logits if name == "float32" else answers(model, judged.faces)
        comparison = compare(float_logits, logits, judged.labels, judged.classes, temperature, name)
        gate = judge(comparison, name, settings.gate, settings.max_drop)
        differ = disagreements(float_logits, logits, judged, temperature, name)
        rungs.append(Rung(model, calibration, comparison, differ, gate))
        if gate["passed"]:
            break
    return rungs


def _weak_points(network: Any, float_model: ModelFile, model: ModelFile, judged: FaceSet) -> dict[str, Any]:
    """Say, for the report, where quantisation hurts, what to do about it, and what accelerators would not take."""
    some = np.unique(np.linspace(0, len(judged) - 1, FACES).astype(int))
    errors = []
    if model is not float_model:
        errors = layer_errors(network, float_model.flatbuffer, model.flatbuffer, judged.faces[some])
    return {
        "layers": [asdict(error) for error in errors],
        "worst_layer": verdict(errors) if errors else None,
        "advice": advice(errors, network) if errors else [],
        "untaken": [asdict(operator) for operator in untaken(model.flatbuffer)],
    }


def answers(model: ModelFile, faces: Pixels) -> Logits:
    """Run a model on (n, size, size) uint8 faces one by one, as a device does; (n, classes)."""
    network = Classifier(model).network
    blocks = [faces[first : first + BLOCK] for first in range(0, len(faces), BLOCK)]
    with progress() as bar:
        shown = bar.track(blocks, description=f"judging {model.contract.recipe}")
        return np.concatenate([network.logits(block) for block in shown])


def _facts_of(calibration: FaceSet, seed: int, judged: FaceSet) -> dict[str, Any]:
    found = doubts(calibration, judged)
    for line in found:
        warn(line)
    return {
        "faces": len(calibration),
        "seed": seed,
        "per_class": calibration.counts(),
        "doubts": found,
        "source": calibration.source,
    }


def _model(
    network: Any, recipe: Recipe, contract: Contract, folder: Path, calibration: Pixels | None = None
) -> ModelFile:
    """Convert `network`; the contract still lacks what the comparison finds out."""
    console.print(f"making {recipe.name}: {recipe}")
    empty = np.zeros((0, 0, 0), np.uint8)
    golden = Golden(empty, np.zeros((0, 4), np.float32), empty, np.zeros((0, 0), np.float32))
    path = folder / f"model_{recipe.name}.tflite"
    return ModelFile(path, convert(network, recipe, calibration), replace(contract, recipe=recipe.name), golden)


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


def _fit_temperature(model: ModelFile, heldout: FaceSet, protocol: Protocol) -> float:
    validation = heldout.part("validation").under(protocol)
    return fit_temperature(Classifier(model).network.logits(validation.faces), validation.labels)


def _write(
    models: dict[str, ModelFile], report: dict[str, Any], sources: dict[str, Any], folder: Path, c_array: bool
) -> None:
    finished = {}
    for recipe, model in models.items():
        contract = replace(
            model.contract,
            temperature=report["temperature"],
            data={**sources, "judged_on": report["heldout"], "calibration": report["calibration"]},
            metrics=report["comparison"],
        )
        finished[recipe] = replace(model, contract=contract)
    header = c_header(finished[report["recipe"]]) if c_array else ""  # refused before anything is written
    report["files"] = {}
    for recipe, model in finished.items():
        write_model(model.path, model.flatbuffer, model.contract, make_golden(model))
        content = model.path.read_bytes()
        report["files"][recipe] = {"name": model.path.name, "bytes": len(content), "sha256": sha256(content)}
    if header:
        write_text(folder / f"model_{report['recipe']}.h", header)
    write_text(folder / "labels.txt", "".join(f"{label}\n" for label in models["float32"].contract.labels))
    write_json(folder / "export_report.json", report)
    write_text(folder / "export_report.md", as_markdown(report))
