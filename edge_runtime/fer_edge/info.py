"""`fer-edge info`: what a model file promises."""

import shlex
from dataclasses import asdict
from typing import Any

from rich.table import Table

from fer_edge.contract import ModelFile
from fer_edge.detector_contract import DetectorContract, DetectorFile
from fer_edge.errors import DAMAGE
from fer_edge.operators import operators

NETWORK = "{name}, {parameters:,} parameters, {macs:,} multiply-accumulates"
TRAINED = "{training[name]}: {training[licence]}; sha256 {training[digest]:.12}"
JUDGED = "{n:,} {judged_on[split]} faces, protocol: {judged_on[protocol]}"
ACCURACY = (
    "float32 {float32[accuracy]:.2%}, int8 {int8[accuracy]:.2%}, drop {drop:.2%}, same answer {agreement:.1%}, "
    "int8 balanced {int8[balanced_accuracy]:.2%}"
)

PHOTOS = "{training[name]}: {training[photos]:,} photos; {training[terms]}; sha256 {training[digest]:.12}"
FOUND = "{photos:,} {judged_on[split]} photos, {faces:,} faces from {smallest_face:g} pixels on"
RECALL = "float32 {float32[recall]:.2%}, int8 {int8[recall]:.2%} at {false_per_photo:g} false alarms per photo"


def as_json(model: ModelFile | DetectorFile) -> dict[str, Any]:
    """Everything in the contract, and where the file is."""
    contract = model.contract
    file = {"model": str(model.path), "bytes": model.path.stat().st_size}
    if isinstance(contract, DetectorContract):
        golden = {"golden_frames": len(model.golden.frames)}
        return {**file, "task": "faces", **asdict(contract), "operators": operators(model.flatbuffer), **golden}
    return {
        **file,
        "task": "expressions",
        "labels": list(contract.labels),
        "size": contract.size,
        "recipe": contract.recipe,
        "crop_scale": contract.crop_scale,
        "temperature": contract.temperature,
        "uncertain_below": contract.uncertain_below,
        "network": contract.network,
        "data": contract.data,
        "metrics": contract.metrics,
        "made_with": contract.made_with,
        "operators": operators(model.flatbuffer),
        "golden_faces": len(model.golden.frames),
    }


def as_table(model: ModelFile | DetectorFile) -> Table:
    """Lay the contract out for people."""
    rows = _face_rows(model) if isinstance(model, DetectorFile) else _expression_rows(model)
    versions = ", ".join(f"{package} {version}" for package, version in model.contract.made_with.items())
    again = f"fer-edge selftest {shlex.quote(str(model.path))}"
    used = ", ".join(f"{count} {name}" for name, count in operators(model.flatbuffer).items())
    rows |= {
        "operators": used,
        "made with": versions,
        "golden frames": f"{len(model.golden.frames)}; repeat them here: {again}",
    }
    table = Table(title=str(model.path), title_justify="left", show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(name, "".join(sign if sign.isprintable() else " " for sign in value))
    return table


def _expression_rows(model: ModelFile) -> dict[str, str]:
    contract = model.contract
    return {
        "file": f"{model.path.stat().st_size / 1e3:.0f} KB, {contract.recipe}",
        "labels": ", ".join(contract.labels),
        "input": f"{contract.size}x{contract.size} grey, crop {contract.crop_scale:g} x the face box's longer side",
        "answer": f"softmax at temperature {contract.temperature:g}; below {contract.uncertain_below:g}: uncertain",
        "network": _told(NETWORK, contract.network),
        "trained on": _told(TRAINED, contract.data),
        "judged on": _told(JUDGED, {**contract.data, **contract.metrics}),
        "accuracy": _told(ACCURACY, contract.metrics),
    }


def _face_rows(model: DetectorFile) -> dict[str, str]:
    contract = model.contract
    return {
        "file": f"{model.path.stat().st_size / 1e3:.0f} KB, {contract.recipe}",
        "finds": f"faces, their boxes and eyes, from a score of {contract.threshold:.3g} on",
        "input": f"{contract.width}x{contract.height} grey; maps of stride {contract.stride}",
        "network": _told(NETWORK, contract.network),
        "trained on": _told(PHOTOS, contract.data),
        "judged on": _told(FOUND, {**contract.data, **contract.metrics}),
        "recall": _told(RECALL, contract.metrics),
    }


def _told(sentence: str, facts: dict[str, Any]) -> str:
    """Fill `sentence` with what the contract says; "not stated" where it lacks something: files come from anywhere."""
    try:
        return sentence.format_map(facts)
    except DAMAGE:
        return "not stated"
