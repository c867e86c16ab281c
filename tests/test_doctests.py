"""The examples in docstrings, run."""

import doctest
import importlib

import pytest

from support.paths import ROOT

PACKAGES = ("edge_runtime/fer_edge", "train/fer_edge_train", "export/fer_edge_export", "benchmarks/fer_edge_bench")


def modules_with_examples() -> list[str]:
    """Names of the modules that have any; the others (networks, that load Keras) are not imported for nothing."""
    files = [
        path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if ">>>" in path.read_text()
    ]
    relative = [path.relative_to(ROOT).with_suffix("").parts[1:] for path in files]
    return [".".join(part for part in parts if part != "__init__") for parts in relative]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not name.startswith("fer_edge."):
        pytest.importorskip("pandas", reason="needs the train extra: pip install '.[train]'")
    monkeypatch.chdir(ROOT)

    failed, attempted = doctest.testmod(importlib.import_module(name))

    assert (failed, attempted > 0) == (0, True)


def test_there_are_examples() -> None:
    assert "fer_edge.imaging.crop" in modules_with_examples()
