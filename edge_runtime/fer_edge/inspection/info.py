"""`fer-edge info`: show a model file's contract.

Files are untrusted: fields that are missing or invalid are shown as "not stated".
"""

import platform
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from fer_edge.detection.detector_contract import DetectorContract, DetectorFile
from fer_edge.detection.yunet import MULTIPLE
from fer_edge.device.processor import detector_recipe
from fer_edge.errors import DAMAGE
from fer_edge.files import sha256
from fer_edge.imaging.images import COLOUR_NAMES
from fer_edge.model.contract import Contract, ModelFile
from fer_edge.model.operators import operators
from fer_edge.versions import RUNTIME, installed

NOT_STATED = "not stated"
LONGEST = 1000
"""Maximum characters shown per field; a contract may hold a megabyte."""
MOST_CLASSES = 40
"""Maximum classes whose recall is shown."""

Rows = dict[str, str | Table]


def as_json(model: ModelFile | DetectorFile) -> dict[str, Any]:
    """Return the contract, file size and digest, operators, and installed versions."""
    is_detector = isinstance(model, DetectorFile)
    return {
        "model": str(model.path),
        "bytes": model.path.stat().st_size,
        "flatbuffer": {"bytes": len(model.flatbuffer), "sha256": sha256(model.flatbuffer)},
        "task": "faces" if is_detector else "expressions",
        **({"auto_takes": detector_recipe()} if is_detector else {}),
        **asdict(model.contract),
        "operators": operators(model.flatbuffer),
        "golden_frames" if is_detector else "golden_faces": len(model.golden.frames),
        "here": installed(RUNTIME),
    }


def as_table(model: ModelFile | DetectorFile) -> Table:
    """Format the contract as a table."""
    contract, flatbuffer, drawn = model.contract, model.flatbuffer, len(model.golden.frames)
    size = f"{model.path.stat().st_size / 1e3:,.0f} KB, {contract.recipe}; network's sha256 {sha256(flatbuffer):.12}"
    rows: Rows = _face_rows(contract, size) if isinstance(contract, DetectorContract) else _rows(contract, size)
    rows |= {
        "operators": ", ".join(f"{count} {name}" for name, count in operators(flatbuffer).items()),
        "exported with": _versions(contract.made_with) or NOT_STATED,
        "installed": f"{_versions(installed(RUNTIME))}, Python {platform.python_version()}, {platform.machine()}",
        "golden frames": f"{drawn}; to verify them, type: fer-edge selftest {shlex.quote(str(model.path))}",
    }
    table = Table(title=_sanitised(str(model.path)), title_justify="left", show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, _sanitised(value) if isinstance(value, str) else value)
    return table


def _rows(contract: Contract, size: str) -> Rows:
    metrics, data = contract.metrics, contract.data
    colour = COLOUR_NAMES[contract.colour]
    rows: Rows = {"classes": ", ".join(contract.labels), "accuracy": _accuracy(metrics, contract.recipe)}
    if contract.recipe != "float32":
        rows |= {"drop": _drop(metrics), "same answer": _same_answer(metrics), "gate": _gate(metrics)}
    rows |= {
        "evaluated on": _joined(
            lambda: (
                f"{metrics['n']:,} {data['judged_on']['split']:s} faces, protocol: {data['judged_on']['protocol']:s}"
            ),
            lambda: _data(data["heldout"]) if _is_other(data, data["heldout"]) else "",
        ),
        "recall": _recalls(contract),
        "file": size,
        "network": _network(contract.network),
        "input": f"{contract.size}x{contract.size} {colour}, crop {contract.crop_scale:g} x the face box's longer side",
        "score": _score(contract),
        "trained on": _data(data.get("training")),
    }
    if contract.recipe.startswith("int"):
        rows["calibrated"] = _calibration(data)
    return rows


def _face_rows(contract: DetectorContract, size: str) -> Rows:
    weights: Any = contract.data.get("weights")
    facts: Any = contract.data.get("calibration")
    rows: Rows = {
        "detects": f"faces with boxes and five landmarks, from a score of {contract.threshold:.3g}",
        "auto selects": f"the bundled detector's {detector_recipe()} form on this processor",
        "file": size,
        "network": _network(contract.network),
        "input": f"{contract.width}x{contract.height} BGR, or other multiples of {MULTIPLE}",
        "weights": _joined(
            lambda: f"{weights['name']:s} ({weights['from']:s})",
            lambda: f"sha256 {weights['digest']:.12s}",
            lambda: f"{weights['licence']:s}",
            lambda: f"trained on {weights['trained_on']:s}",
        ),
    }
    if contract.recipe.startswith("int"):
        rows["calibrated"] = _joined(lambda: f"{facts['pictures']:,} drawn images, seed {facts['seed']}")
    return rows


def _accuracy(metrics: dict[str, Any], recipe: str) -> str:
    return _joined(
        lambda: f"{metrics[recipe]['accuracy']:.2%}",
        lambda: f"balanced {metrics[recipe]['balanced_accuracy']:.2%}",
        lambda: f"macro-F1 {metrics[recipe]['macro_f1']:.2%}",
    )


def _drop(metrics: dict[str, Any]) -> str:
    return _joined(
        lambda: f"{_points(metrics['drop'])} points against float32 ({metrics['float32']['accuracy']:.2%})",
        lambda: "95 % interval {} to {}".format(*map(_points, metrics["drop_interval"])),
    )


def _gate(metrics: dict[str, Any]) -> str:
    """Format the verdict and the warnings of the accuracy gate."""
    gate: Any = metrics.get("gate")
    return _joined(
        lambda: f"{'passed' if gate['passed'] is True else 'FAILED'}: allowed drop {_points(gate['max_drop'])} points",
        lambda: "by the interval's upper end" if gate["rule"] == "bound" else "",
        lambda: "; ".join(f"{line:s}" for line in [*gate["failures"], *gate["findings"]]),
    )


def _same_answer(metrics: dict[str, Any]) -> str:
    return _joined(
        lambda: f"{metrics['agreement']:.1%}",
        lambda: (
            f"{metrics['lost']:,} faces lost and {metrics['gained']:,} gained (McNemar p {metrics['mcnemar_p']:.2g})"
        ),
    )


def _recalls(contract: Contract) -> str | Table:
    """Format the recall of each class, its number of faces, and its change against float32 in points."""
    recipe = contract.recipe
    columns = ["", "n", recipe, *(["points", "95 %"] if recipe != "float32" else [])]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(_sanitised(column), justify="right" if column else "left", no_wrap=column != columns[-1])
    for label in contract.labels[:MOST_CLASSES]:
        try:
            row = contract.metrics["per_class"][label]
            cells = [label, f"{row['n']:,}", _percentage(row[recipe]), _percentage(row.get("change"), "+")]
            cells.append(" to ".join(_percentage(end, "+") for end in row.get("interval") or [None]))
        except DAMAGE:
            return NOT_STATED
        table.add_row(*map(_sanitised, cells[: len(columns)]))
    return table


def _percentage(share: Any, sign: str = "") -> str:
    """Format a fraction as a percentage, or with `sign` a difference in points; "-" for None."""
    if share is None:
        return "-"
    percentage = f"{share:{sign}.1%}"
    return percentage.removesuffix("%") if sign else percentage


def _points(share: Any) -> str:
    return f"{share:.2%}".removesuffix("%")


def _score(contract: Contract) -> str:
    figures: Any = contract.metrics.get(contract.recipe)
    return _joined(
        lambda: f"softmax at temperature {contract.temperature:g}; below {contract.uncertain_below:g}: uncertain",
        lambda: f"calibration error {figures['calibration_error']:.2%}",
    )


def _network(network: dict[str, Any]) -> str:
    return _joined(
        lambda: f"{network['name']:s}",
        lambda: f"{network['parameters']:,} parameters",
        lambda: f"{network['macs']:,} multiply-accumulates",
        between=", ",
    )


def _data(source: Any) -> str:
    """Format a data set: name, terms, split and digest."""
    return _joined(
        lambda: f"{source['name']:s}",
        lambda: f"{source['photos']:,} photos",
        lambda: f"{source.get('licence') or source['terms']:s}",
        lambda: f"{source['split']:.0%} held out by {source['settings']['group']:s}, seed {source['seed']}",
        lambda: f"sha256 {source['digest']:.12s}",
    )


def _calibration(data: dict[str, Any]) -> str:
    facts: Any = data.get("calibration")
    return _joined(
        lambda: f"{facts['faces']:,} training faces, seed {facts['seed']}",
        lambda: f"ranges by {facts['rule']:s}",
        lambda: f"then fine-tuned for {facts['learning']['epochs']:,} epochs",
        lambda: ", ".join(f"{name} {n:,}" for name, n in facts["per_class"].items()),
        lambda: "; ".join(f"{doubt:s}" for doubt in facts["doubts"]),
        lambda: f"{facts['other_faces']['same_answer']:.1%} same answer with {facts['other_faces']['faces']:,} others",
        lambda: _data(facts["source"]) if _is_other(data, facts["source"]) else "",
    )


def _is_other(data: dict[str, Any], source: Any) -> bool:
    """Return whether a data set is not the training's."""
    return bool(source) and source.get("digest") != data.get("training", {}).get("digest")


def _versions(packages: dict[str, Any]) -> str:
    return ", ".join(f"{package} {version}" for package, version in packages.items())


def _joined(*facts: Callable[[], str], between: str = "; ") -> str:
    """Join the fields that the contract states, skipping missing and invalid ones."""
    parts = []
    for fact in facts:
        with suppress(*DAMAGE):
            parts.append(fact())
    return between.join(filter(None, parts)) or NOT_STATED


def _sanitised(text: str) -> Text:
    """Sanitise a text from a file: no control characters, no markup, limited length."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST])
    return Text(printable + "..." * (len(text) > LONGEST))
