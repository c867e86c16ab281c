"""From a run to two model files and a proof: convert, compare on held-out faces, write, report."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.console import console
from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import fit_temperature
from fer_edge.data.provenance import write_used_pictures
from fer_edge.errors import DataError, ModelError
from fer_edge.files import sha256, write_bytes, write_json, write_text
from fer_edge.inspection.selftest import make_golden
from fer_edge.model.contract import Contract, Model, write_model
from fer_edge.versions import installed
from fer_edge_export.accuracy.held_out import LEAST_FITTING, fitting_faces, held_out
from fer_edge_export.foreign import adopt, near_chance
from fer_edge_export.inputs import Inputs, read_inputs
from fer_edge_export.layer_errors.advice import advice, verdict
from fer_edge_export.layer_errors.measure import FACES, layer_errors
from fer_edge_export.microcontroller.c_array import c_header
from fer_edge_export.networks.load import facts, load_network
from fer_edge_export.quantize.calibrate import apart_from
from fer_edge_export.quantize.candidates import ExportedNetwork, answers
from fer_edge_export.quantize.convert import convert, overflowing
from fer_edge_export.quantize.ladder import TriedRecipe, try_recipes
from fer_edge_export.recipes import RECIPES
from fer_edge_export.report.html import as_page
from fer_edge_export.report.text import as_markdown
from fer_edge_export.results import ExportReport, HeldOut, LayerError, WrittenFile, as_json
from fer_edge_export.settings import PACKAGES, ExportSettings

OVERFLOW_FACES = 64
"""Faces on which every layer is looked at before anything is converted."""


def export(run: Path, settings: ExportSettings, out: Path | None = None) -> tuple[Path, ExportReport]:
    """Export `run` and write both models, labels.txt and the report, whether or not the gate passes.

    Args:
        run: A run folder, or a `.keras` file (outside a run folder, `settings.data` is needed).
        settings: What decides the export.
        out: Folder for the files; by default `export` in the run folder.

    Returns:
        The folder and the report; `fer_edge_export.accuracy.gate.check` refuses what failed.

    Raises:
        FerEdgeError: A file cannot be read, converted or written.
    """
    inputs = read_inputs(run, settings.data, settings.use_weights, settings.stated)
    network = load_network(inputs.network)
    if inputs.foreign:
        network, inputs = adopt(network, inputs, settings.stated)
    split, judged = held_out(inputs.heldout, settings.protocol)
    check_shapes(inputs, network)
    if culprit := overflowing(network, judged.faces[:OVERFLOW_FACES]):
        raise ModelError(
            f"{inputs.network}: layer {culprit} gives numbers beyond float32's range on these faces; are the pixels as "
            "in its training? See --pixels"
        )
    console.print(f"making float32: {RECIPES['float32']}")
    float32 = convert(network, RECIPES["float32"])
    temperature = inputs.temperature
    if temperature is None:
        fitting, judged = fitting_faces(inputs.heldout, judged, split, settings.protocol)
        temperature = _fit_temperature(float32, fitting)
    validation = inputs.heldout.part("validation" if split == "testing" else "nothing")
    training = calibrating(inputs.training, judged)
    exported = ExportedNetwork(network, float32, training, validation, judged, temperature)
    rungs = try_recipes(exported, settings)
    heldout = HeldOut(split, settings.protocol if judged.voted else "one label per face")
    report = _report(run, inputs, exported, heldout, rungs)
    folder = out or inputs.folder
    flatbuffers = {"float32": float32, report.recipe: rungs[-1].flatbuffer}
    report = _write(flatbuffers, _contract(report, inputs, settings), report, folder, settings.c_array)
    write_bytes(folder / "export_report.html", as_page(report, judged))
    write_used_pictures(folder, inputs.seen, inputs.source)
    return folder, report


def _report(
    run: Path, inputs: Inputs, exported: ExportedNetwork, heldout: HeldOut, rungs: list[TriedRecipe]
) -> ExportReport:
    """Put together what was found out; the files are not there yet."""
    last = rungs[-1]
    gate = last.gate
    if inputs.foreign:
        gate = replace(gate, findings=(*near_chance(last.comparison.float32), *inputs.findings, *gate.findings))
    errors, advised = _weak_points(exported, last)
    return ExportReport(
        run=str(run),
        weights=inputs.network.name,
        network=facts(exported.network, inputs.name or exported.network.name),
        recipe=last.attempt.recipe,
        heldout=heldout,
        calibration=last.calibration,
        temperature=exported.temperature,
        uncertain_below=Contract.uncertain_below,
        gate=gate,
        comparison=last.comparison,
        disagreements=last.disagreements,
        ladder=tuple(rung.as_row() for rung in rungs),
        layers=tuple(errors),
        worst_layer=verdict(errors) if errors else None,
        advice=tuple(advised),
        made_with=installed(PACKAGES),
        files={},
    )


def _weak_points(exported: ExportedNetwork, last: TriedRecipe) -> tuple[list[LayerError], list[str]]:
    """Measure where quantisation hurts, and say what to do about it."""
    network, float32, judged = exported.network, exported.float32, exported.judged
    if last.flatbuffer == float32:
        return [], []
    if last.network is not None:  # tensors have other names, and perhaps weights, than in the network as it was
        float32 = convert(last.network, RECIPES["float32"])
    some = np.unique(np.linspace(0, len(judged) - 1, FACES).astype(int))
    errors = layer_errors(network, float32, last.flatbuffer, judged.faces[some])
    # a learned range clips where that is the lesser harm: no calibration is to blame
    blamed = [replace(error, clipped=0.0) for error in errors] if last.attempt.learned else errors
    return errors, advice(blamed, network) if errors else []


def calibrating(training: FaceSet, judged: FaceSet) -> FaceSet:
    """Leave out the training faces that judge, byte for byte: data sets bring such pairs.

    Raises:
        DataError: No face is left.
    """
    apart = apart_from(training, judged)
    same = len(training) - len(apart)
    if same and not len(apart):
        raise DataError(
            "every training face is among those that judge, and must not calibrate; give others: --data SET.npz"
        )
    if same:
        console.print(f"left out {same:,} training face{'s' * (same != 1)} that are among those that judge")
    return apart


def check_shapes(inputs: Inputs, network: Any) -> None:
    """Make sure that network, classes and faces belong together.

    Raises:
        DataError: Faces or classes are not those of the network.
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
            f"({', '.join(inputs.heldout.classes)}); give the set that it was trained on"
        )


def _fit_temperature(float32: bytes, fitting: FaceSet) -> float:
    if len(fitting) == 0:
        console.print(f"fewer than {LEAST_FITTING} faces to fit the temperature; it stays 1")
        return 1.0
    return fit_temperature(answers(float32, fitting.faces, "fitting the temperature"), fitting.labels)


def _contract(report: ExportReport, inputs: Inputs, settings: ExportSettings) -> Contract:
    """What the delivered model promises; that of float32 differs in its recipe only."""
    return Contract(
        labels=inputs.training.classes,
        size=inputs.training.size,
        recipe=report.recipe,
        colour=inputs.training.colour,
        crop_scale=settings.stated.crop_scale,
        temperature=report.temperature,
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
    """Write a model for each recipe, and the report, which is returned with the files in it."""
    models = [
        Model(folder / f"model_{recipe}.tflite", flatbuffer, replace(contract, recipe=recipe))
        for recipe, flatbuffer in flatbuffers.items()
    ]
    header = c_header(models[-1]) if c_array else ""  # refused before anything is written
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
