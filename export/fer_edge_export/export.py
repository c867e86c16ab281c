"""Export a run: convert, evaluate on held-out faces, write both models and the report."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.console import console, date_now
from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import baseline, fit_temperature
from fer_edge.data.provenance import write_used_pictures
from fer_edge.errors import DataError, ModelError
from fer_edge.files import must_be_writable, sha256, write_bytes, write_json, write_text
from fer_edge.inspection.selftest import make_golden
from fer_edge.model.contract import Contract, Model, default_threshold, write_model
from fer_edge.versions import installed
from fer_edge_export.accuracy.evaluation_faces import LEAST_FITTING, evaluation_faces, fitting_faces
from fer_edge_export.accuracy.gate import can_learn, remedies
from fer_edge_export.foreign import adapt_network, chance_warning
from fer_edge_export.inputs import Inputs, read_inputs
from fer_edge_export.layer_errors.advice import advice, verdict
from fer_edge_export.layer_errors.measure import FACES, layer_errors
from fer_edge_export.microcontroller.c_array import c_header
from fer_edge_export.networks.load import facts, load_network
from fer_edge_export.quantize.calibrate import without_duplicates
from fer_edge_export.quantize.candidates import ExportedNetwork, predict
from fer_edge_export.quantize.convert import convert, overflowing
from fer_edge_export.quantize.ladder import RecipeResult, evaluate_recipes
from fer_edge_export.recipes import RECIPES
from fer_edge_export.report.html import as_page
from fer_edge_export.report.text import as_markdown
from fer_edge_export.results import Baseline, ExportReport, HeldOut, LayerError, Origin, WrittenFile, as_json
from fer_edge_export.settings import PACKAGES, ExportSettings

OVERFLOW_FACES = 64
"""Faces on which every layer is looked at before anything is converted."""


def export(
    run: Path, settings: ExportSettings, out: Path | None = None, command: str | None = None
) -> tuple[Path, ExportReport]:
    """Export `run` and write both models, labels.txt and the report, whether or not the gate passes.

    Args:
        run: A run folder, or a `.keras` file (outside a run folder, `settings.data` is needed).
        settings: Settings of the export.
        out: Folder for the files; by default `export` in the run folder.
        command: As typed, for the report.

    Returns:
        The folder and the report; `fer_edge_export.accuracy.gate.check` raises an error if the gate failed.

    Raises:
        FerEdgeError: A file cannot be read, converted or written.
    """
    inputs = read_inputs(run, settings.data, settings.use_weights, settings.stated)
    folder = out or inputs.folder
    must_be_writable(folder)  # before minutes of work
    network = load_network(inputs.network)
    if inputs.foreign:
        network, inputs = adapt_network(network, inputs, settings.stated)
    split, evaluation = evaluation_faces(inputs.heldout, settings.protocol)
    check_shapes(inputs, network)
    if culprit := overflowing(network, evaluation.faces[:OVERFLOW_FACES]):
        raise ModelError(
            f"{inputs.network}: layer {culprit} gives numbers beyond float32's range on these faces; are the pixels as "
            "in its training? See --pixels"
        )
    console.print(f"converting to float32: {RECIPES['float32']}")
    float32 = convert(network, RECIPES["float32"])
    temperature = inputs.temperature
    if temperature is None:
        fitting, evaluation = fitting_faces(inputs.heldout, evaluation, split, settings.protocol)
        temperature = _fit_temperature(float32, fitting)
    validation = inputs.heldout.part("validation" if split == "testing" else "nothing")
    training = calibration_pool(inputs.training, evaluation)
    exported = ExportedNetwork(network, float32, training, validation, evaluation, temperature)
    results = evaluate_recipes(exported, settings)
    heldout = HeldOut(split, settings.protocol if evaluation.voted else "one label per face")
    data = str(settings.data or inputs.heldout.source.get("name", run))
    report = _report(run, inputs, exported, heldout, results, Origin(date_now(), data, command))
    flatbuffers = {"float32": float32, report.recipe: results[-1].flatbuffer}
    report = _write(flatbuffers, _contract(report, inputs, settings), report, folder, settings.c_array)
    write_bytes(folder / "export_report.html", as_page(report, evaluation))
    write_used_pictures(folder, inputs.used, inputs.source)
    return folder, report


def _report(
    run: Path,
    inputs: Inputs,
    exported: ExportedNetwork,
    heldout: HeldOut,
    results: list[RecipeResult],
    origin: Origin,
) -> ExportReport:
    """Build the report; its `files` are empty until they are written."""
    last = results[-1]
    gate = last.gate
    if inputs.foreign:
        gate = replace(gate, findings=(*chance_warning(last.comparison.float32), *inputs.findings, *gate.findings))
    errors, advised = _layer_report(exported, last)
    suggestions = remedies(last.calibration, advised, can_learn(last.attempt.recipe, last.comparison))
    return ExportReport(
        run=str(run),
        weights=inputs.network.name,
        network=facts(exported.network, inputs.name or exported.network.name),
        recipe=last.attempt.recipe,
        origin=origin,
        heldout=heldout,
        baseline=Baseline(*baseline({name: row.n for name, row in last.comparison.per_class.items()})),
        calibration=last.calibration,
        temperature=exported.temperature,
        uncertain_below=default_threshold(len(exported.heldout.classes)),
        gate=gate,
        remedies=() if gate.passed else tuple(suggestions),
        comparison=last.comparison,
        disagreements=last.disagreements,
        ladder=tuple(result.as_row() for result in results),
        layers=tuple(errors),
        worst_layer=verdict(errors) if errors else None,
        advice=tuple(advised),
        made_with=installed(PACKAGES),
        files={},
    )


def _layer_report(exported: ExportedNetwork, last: RecipeResult) -> tuple[list[LayerError], list[str]]:
    """Measure the layer errors, and give advice."""
    network, float32, evaluation = exported.network, exported.float32, exported.heldout
    if last.flatbuffer == float32 or len(evaluation) < 2:  # a single face has no spread to compare errors with
        return [], []
    if last.network is not None:  # other tensor names, and perhaps weights, than the original network
        float32 = convert(last.network, RECIPES["float32"])
    some = np.unique(np.linspace(0, len(evaluation) - 1, FACES).astype(int))
    errors = layer_errors(network, float32, last.flatbuffer, evaluation.faces[some])
    # learned ranges clip on purpose: clipping is not an error of the calibration
    unclipped = [replace(error, clipped=0.0) for error in errors] if last.attempt.learned else errors
    return errors, advice(unclipped, network) if errors else []


def calibration_pool(training: FaceSet, evaluation: FaceSet) -> FaceSet:
    """Remove training faces that are byte-identical to evaluation faces.

    Raises:
        DataError: No face is left.
    """
    unique = without_duplicates(training, evaluation)
    same = len(training) - len(unique)
    if same and not len(unique):
        raise DataError(
            "every training face is also an evaluation face, and must not calibrate; give another set: --data SET.npz"
        )
    if same:
        console.print(f"left out {same:,} training face{'s' * (same != 1)} that are also evaluation faces")
    return unique


def check_shapes(inputs: Inputs, network: Any) -> None:
    """Check that faces and classes fit the network.

    Raises:
        DataError: They do not.
    """
    size, classes = int(network.input_shape[1]), int(network.output_shape[1])
    colour = "grey" if network.input_shape[3] == 1 else "rgb"
    if (inputs.heldout.size, inputs.heldout.colour) != (size, colour):
        raise DataError(
            f"{inputs.network} takes {size}x{size} pixels, {colour}; the faces have {inputs.heldout.size}, "
            f"{inputs.heldout.colour}; prepare them again: --imgsz {size} --colour {colour}"
        )
    if len(inputs.heldout.classes) != classes:
        raise DataError(
            f"{inputs.network} has {classes} outputs, the faces have {len(inputs.heldout.classes)} classes "
            f"({', '.join(inputs.heldout.classes)}); give the set it was trained on"
        )


def _fit_temperature(float32: bytes, fitting: FaceSet) -> float:
    if len(fitting) == 0:
        console.print(f"too few faces to fit the temperature, which stays 1; {LEAST_FITTING} are needed")
        return 1.0
    return fit_temperature(predict(float32, fitting.faces, "fitting the temperature"), fitting.labels)


def _contract(report: ExportReport, inputs: Inputs, settings: ExportSettings) -> Contract:
    """Contract of the exported model; float32 differs in the recipe only."""
    return Contract(
        labels=inputs.training.classes,
        size=inputs.training.size,
        recipe=report.recipe,
        colour=inputs.training.colour,
        crop_scale=settings.stated.crop_scale,
        temperature=report.temperature,
        uncertain_below=report.uncertain_below,
        network=asdict(report.network),
        data={
            "training": inputs.source,
            "heldout": inputs.heldout.source,
            "judged_on": asdict(report.heldout),
            "calibration": report.calibration and asdict(report.calibration),
        },
        metrics={**as_json(report.comparison, report.recipe), "gate": asdict(report.gate)},
        made_with=report.made_with,
    )


def _write(
    flatbuffers: dict[str, bytes], contract: Contract, report: ExportReport, folder: Path, c_array: bool
) -> ExportReport:
    """Write the models and the report; returns the report with its `files`."""
    models = [
        Model(folder / f"model_{recipe}.tflite", flatbuffer, replace(contract, recipe=recipe))
        for recipe, flatbuffer in flatbuffers.items()
    ]
    header = c_header(models[-1]) if c_array else ""  # may fail: before anything is written
    files = {}
    for model in models:
        write_model(model.path, model.flatbuffer, model.contract, make_golden(model))
        content = model.path.read_bytes()
        files[model.contract.recipe] = WrittenFile(model.path.name, len(content), sha256(content))
    report = replace(report, files=files)
    if header:
        write_text(folder / f"model_{report.recipe}.h", header)
    write_text(folder / "labels.txt", "".join(f"{label}\n" for label in contract.labels))
    write_json(folder / "export_report.json", as_json(report, report.recipe))
    write_text(folder / "export_report.md", as_markdown(report))
    return report
