"""`fer-edge info`: what a model file promises."""

from typing import Any

from rich.table import Table

from fer_edge.contract import ModelFile


def as_json(model: ModelFile) -> dict[str, Any]:
    """Everything in the contract, and where the file is."""
    contract = model.contract
    return {
        "model": str(model.path),
        "bytes": model.path.stat().st_size,
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
        "golden_faces": len(model.golden.frames),
    }


def as_table(model: ModelFile) -> Table:
    """Lay the contract out for people."""
    contract = model.contract
    table = Table(title=str(model.path), title_justify="left", show_header=False, box=None)
    rows = {
        "file": f"{model.path.stat().st_size / 1e3:.0f} KB, {contract.recipe}",
        "labels": ", ".join(contract.labels),
        "input": f"{contract.size}x{contract.size} grey, crop {contract.crop_scale:g} x the face box's longer side",
        "answer": f"softmax at temperature {contract.temperature:g}; below {contract.uncertain_below:g}: uncertain",
        "golden faces": f"{len(model.golden.frames)}; repeat them here: fer-edge selftest {model.path}",
        **{f"network {key}": str(value) for key, value in contract.network.items()},
        **{key: str(value) for key, value in _figures(contract.metrics).items()},
        "made with": ", ".join(f"{package} {version}" for package, version in contract.made_with.items()),
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def _figures(metrics: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The single figures among nested metrics, two levels deep; tables such as a confusion matrix are for --json."""
    flat: dict[str, Any] = {}
    for key, value in metrics.items():
        if isinstance(value, dict) and not prefix:
            flat |= _figures(value, f"{key} ")
        elif not isinstance(value, dict | list):
            flat[prefix + key] = value
    return flat
