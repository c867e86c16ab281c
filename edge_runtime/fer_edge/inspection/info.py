"""`fer-edge info`: a model file's contract; first its classes, accuracy, cost of int8 and size.

A file comes from anywhere: whatever its contract leaves out, or says in a way that nobody can read, is "not stated".
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
"""Signs of one fact that are shown: a contract may hold a megabyte of them."""
MOST_CLASSES = 40
"""Classes whose recall is shown."""

Rows = dict[str, str | Table]


def as_json(model: ModelFile | DetectorFile) -> dict[str, Any]:
    """Everything in the contract, what the file itself tells, and the versions here."""
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
    """Lay the contract out for people."""
    contract, flatbuffer, drawn = model.contract, model.flatbuffer, len(model.golden.frames)
    size = f"{model.path.stat().st_size / 1e3:,.0f} KB, {contract.recipe}; network's sha256 {sha256(flatbuffer):.12}"
    rows: Rows = _face_rows(contract, size) if isinstance(contract, DetectorContract) else _rows(contract, size)
    rows |= {
        "operators": ", ".join(f"{count} {name}" for name, count in operators(flatbuffer).items()),
        "made with": _versions(contract.made_with) or NOT_STATED,
        "here": f"{_versions(installed(RUNTIME))}, Python {platform.python_version()}, {platform.machine()}",
        "golden frames": f"{drawn}; repeat them here: fer-edge selftest {shlex.quote(str(model.path))}",
    }
    table = Table(title=_plain(str(model.path)), title_justify="left", show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, _plain(value) if isinstance(value, str) else value)
    return table


def _rows(contract: Contract, size: str) -> Rows:
    metrics, data = contract.metrics, contract.data
    colour = COLOUR_NAMES[contract.colour]
    rows: Rows = {"answers": ", ".join(contract.labels), "accuracy": _accuracy(metrics, contract.recipe)}
    if contract.recipe != "float32":
        rows |= {"drop": _drop(metrics), "same answer": _same_answer(metrics), "gate": _gate(metrics)}
    rows |= {
        "judged on": _told(
            lambda: (
                f"{metrics['n']:,} {data['judged_on']['split']:s} faces, protocol: {data['judged_on']['protocol']:s}"
            ),
            lambda: _data(data["heldout"]) if _other(data, data["heldout"]) else "",
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
        "finds": f"faces, their boxes and five landmarks, from a score of {contract.threshold:.3g} on",
        "auto takes": f"on this processor the bundled detector's {detector_recipe()} form",
        "file": size,
        "network": _network(contract.network),
        "input": f"{contract.width}x{contract.height} BGR, or any other multiples of {MULTIPLE}",
        "weights": _told(
            lambda: f"{weights['name']:s} ({weights['from']:s})",
            lambda: f"sha256 {weights['digest']:.12s}",
            lambda: f"{weights['licence']:s}",
            lambda: f"trained on {weights['trained_on']:s}",
        ),
    }
    if contract.recipe.startswith("int"):
        rows["calibrated"] = _told(lambda: f"{facts['pictures']:,} drawn pictures, seed {facts['seed']}")
    return rows


def _accuracy(metrics: dict[str, Any], recipe: str) -> str:
    return _told(
        lambda: f"{metrics[recipe]['accuracy']:.2%}",
        lambda: f"balanced {metrics[recipe]['balanced_accuracy']:.2%}",
        lambda: f"macro-F1 {metrics[recipe]['macro_f1']:.2%}",
    )


def _drop(metrics: dict[str, Any]) -> str:
    return _told(
        lambda: f"{_points(metrics['drop'])} points against float32 ({metrics['float32']['accuracy']:.2%})",
        lambda: "95 % interval {} to {}".format(*map(_points, metrics["drop_interval"])),
    )


def _gate(metrics: dict[str, Any]) -> str:
    """What `fer-edge export` said of the drop, and what else to know before trusting it."""
    gate: Any = metrics.get("gate")
    return _told(
        lambda: f"{'passed' if gate['passed'] is True else 'FAILED'}: {_points(gate['max_drop'])} points may be lost",
        lambda: "judged by the interval's end" if gate["rule"] == "bound" else "",
        lambda: "; ".join(f"{line:s}" for line in [*gate["failures"], *gate["findings"]]),
    )


def _same_answer(metrics: dict[str, Any]) -> str:
    return _told(
        lambda: f"{metrics['agreement']:.1%}",
        lambda: (
            f"{metrics['lost']:,} faces lost and {metrics['gained']:,} gained (McNemar p {metrics['mcnemar_p']:.2g})"
        ),
    )


def _recalls(contract: Contract) -> str | Table:
    """Recall of each class with its number of faces, and by how many points it changed against float32."""
    recipe = contract.recipe
    heads = ["", "n", recipe, *(["points", "95 %"] if recipe != "float32" else [])]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(_plain(head), justify="right" if head else "left", no_wrap=head != heads[-1])
    for label in contract.labels[:MOST_CLASSES]:
        try:
            row = contract.metrics["per_class"][label]
            cells = [label, f"{row['n']:,}", _shown(row[recipe]), _shown(row.get("change"), "+")]
            cells.append(" to ".join(_shown(end, "+") for end in row.get("interval") or [None]))
        except DAMAGE:
            return NOT_STATED
        table.add_row(*map(_plain, cells[: len(heads)]))
    return table


def _shown(share: Any, sign: str = "") -> str:
    """A share, 0 to 1, as a percentage, or a difference between two in points; "-" where there is none."""
    if share is None:
        return "-"
    percentage = f"{share:{sign}.1%}"
    return percentage.removesuffix("%") if sign else percentage


def _points(share: Any) -> str:
    return f"{share:.2%}".removesuffix("%")


def _score(contract: Contract) -> str:
    figures: Any = contract.metrics.get(contract.recipe)
    return _told(
        lambda: f"softmax at temperature {contract.temperature:g}; below {contract.uncertain_below:g}: uncertain",
        lambda: f"calibration error {figures['calibration_error']:.2%}",
    )


def _network(network: dict[str, Any]) -> str:
    return _told(
        lambda: f"{network['name']:s}",
        lambda: f"{network['parameters']:,} parameters",
        lambda: f"{network['macs']:,} multiply-accumulates",
        between=", ",
    )


def _data(source: Any) -> str:
    """Name a data set with its terms, how it was divided, and its digest."""
    return _told(
        lambda: f"{source['name']:s}",
        lambda: f"{source['photos']:,} photos",
        lambda: f"{source.get('licence') or source['terms']:s}",
        lambda: f"{source['split']:.0%} held out by {source['settings']['group']:s}, seed {source['seed']}",
        lambda: f"sha256 {source['digest']:.12s}",
    )


def _calibration(data: dict[str, Any]) -> str:
    facts: Any = data.get("calibration")
    return _told(
        lambda: f"{facts['faces']:,} training faces, seed {facts['seed']}",
        lambda: f"ranges by {facts['rule']:s}",
        lambda: f"then learnt for {facts['learning']['epochs']:,} epochs",
        lambda: ", ".join(f"{name} {n:,}" for name, n in facts["per_class"].items()),
        lambda: "; ".join(f"{doubt:s}" for doubt in facts["doubts"]),
        lambda: f"{facts['other_faces']['same_answer']:.1%} same answer with {facts['other_faces']['faces']:,} others",
        lambda: _data(facts["source"]) if _other(data, facts["source"]) else "",
    )


def _other(data: dict[str, Any], source: Any) -> bool:
    """Log whether a data set is another than that of the training."""
    return bool(source) and source.get("digest") != data.get("training", {}).get("digest")


def _versions(packages: dict[str, Any]) -> str:
    return ", ".join(f"{package} {version}" for package, version in packages.items())


def _told(*facts: Callable[[], str], between: str = "; ") -> str:
    """Put together what the contract states, and leave out what it does not."""
    told = []
    for fact in facts:
        with suppress(*DAMAGE):
            told.append(fact())
    return between.join(filter(None, told)) or NOT_STATED


def _plain(text: str) -> Text:
    """What a file says as it may be shown: no control signs, no markup, no end."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text[:LONGEST])
    return Text(shown + "..." * (len(text) > LONGEST))
