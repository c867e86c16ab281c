"""Does `fer-edge export` detect mistakes? Bad calibration sets, and a network that quantises badly.

python -m studies.accuracy.broken_calibrations runs/train/edge --out runs/broken

Each set has the run's held-out faces unchanged and a calibration set with a common mistake. The badly built network
(swish, no BatchNormalization, one channel scaled by `OUTLIER_SCALE`) is trained on the run's training faces for a
minute and calibrated correctly. `fer-edge export` runs on each; warnings, measurements and the first advice are
printed. Exits with 1 if a mistake was neither warned of nor stopped by the gate.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fer_edge.console import console, print_json
from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError
from fer_edge.files import make_folder, read_json, write_json
from fer_edge_export.quantize.calibrate import LEAST

Break = Callable[[FaceSet, FaceSet], FaceSet]
"""Takes the training and held-out faces of a run, returns a calibration set."""

UNCHANGED = "as it is"
OUTLIER_SCALE = 256.0
"""Factor on the weights of one channel: 64 cost `legend-cnn` 1.5 points of accuracy, 256 cost 30."""
EPOCHS = 30


def one_class(training: FaceSet, _: FaceSet) -> FaceSet:
    """Only the largest class, as if one class folder were used."""
    return training.take(training.labels == np.bincount(training.labels).argmax())


def one_picture(training: FaceSet, _: FaceSet) -> FaceSet:
    """The same face repeated, as from a generator that always yields the same picture."""
    return replace(training, faces=np.repeat(training.faces[:1], len(training), axis=0))


def eight_faces(training: FaceSet, _: FaceSet) -> FaceSet:
    """Eight faces, evenly spaced."""
    return training.take(np.linspace(0, len(training) - 1, 8).astype(int))


def black(training: FaceSet, _: FaceSet) -> FaceSet:
    """Pixels divided by 255 twice."""
    return replace(training, faces=training.faces // 255)


def noise(training: FaceSet, _: FaceSet) -> FaceSet:
    """Random pixels, as in many tutorials."""
    return replace(training, faces=np.random.default_rng(0).integers(0, 256, training.faces.shape, np.uint8))


def dark(training: FaceSet, _: FaceSet) -> FaceSet:
    """A quarter of the brightness, as from another camera or in poor light."""
    return replace(training, faces=training.faces // 4)


def heldout_faces(_: FaceSet, heldout: FaceSet) -> FaceSet:
    """The faces that accuracy is measured on."""
    return replace(heldout, split=np.full(len(heldout), "training"))


BROKEN: dict[str, Break] = {
    "one class": one_class,
    "one picture": one_picture,
    "eight faces": eight_faces,
    "black pictures": black,
    "noise": noise,
    "dark pictures": dark,
    "the judging faces": heldout_faces,
}


@dataclass(frozen=True)
class ExportOutcome:
    """Outcome of one `fer-edge export`."""

    exit_code: int
    error: str | None
    advice: str | None
    """First suggestion; None if the gate passed."""
    left_out: int = 0
    """Training faces excluded from calibration because they are held-out faces."""
    doubts: tuple[str, ...] = ()
    """Warnings about the calibration set."""
    float32: float | None = None
    """Accuracy; None, as the next three, if there was no report."""
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    agreement: float | None = None
    findings: tuple[str, ...] = ()
    """Remarks of the gate, and the layer with the largest error."""
    layer_advice: tuple[str, ...] = ()
    """Suggestions based on the layers' errors, whether or not the gate passed."""

    @property
    def caught(self) -> bool:
        """Whether the output shows that something is wrong."""
        return bool(self.doubts or self.layer_advice) or self.left_out >= LEAST or self.exit_code != 0


def main(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of fer-edge train.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the sets and the exports.")],
    only: Annotated[list[str] | None, typer.Option(help=f"One of: {', '.join(BROKEN)}, built badly.")] = None,
) -> None:
    """Export a run with bad calibration sets, and a badly built network; print which mistakes were detected."""
    training, heldout = (FaceSet.load(run / f"{name}.npz") for name in ("calibration", "heldout"))
    outcomes = {}
    for name in only or [UNCHANGED, *BROKEN, "built badly"]:
        folder = out / name.replace(" ", "_")
        make_folder(folder)
        data = None
        if name == "built badly":
            source = badly_built_run(run, training, folder / "run")
        elif name == UNCHANGED:
            source = run
        else:
            source, data = run, folder / "set.npz"
            concatenated(BROKEN[name](training, heldout), heldout).save(data)
        outcomes[name] = export(source, data, folder / "export")
        show(name, outcomes[name])
    document = {name: {**asdict(one), "caught": one.caught} for name, one in outcomes.items()}
    write_json(out / "broken_calibrations.json", document)
    print_json(document)
    if missed := [name for name, one in outcomes.items() if not one.caught and name != UNCHANGED]:
        console.print(f"not detected: {', '.join(missed)}")
        raise typer.Exit(1)


def concatenated(training: FaceSet, heldout: FaceSet) -> FaceSet:
    """Concatenate two sets."""
    columns = ("faces", "votes", "agreed", "split", "group", "names", "photos")
    both: dict[str, Any] = {name: np.concatenate([getattr(training, name), getattr(heldout, name)]) for name in columns}
    return replace(heldout, **both)


def export(run: Path, data: Path | None, folder: Path) -> ExportOutcome:
    """Run `fer-edge export` and parse its output."""
    command = [sys.executable, "-m", "fer_edge", "export", str(run), "--out", str(folder), "--json"]
    finished = subprocess.run([*command, *(["--data", str(data)] if data else [])], capture_output=True, text=True)
    return parse_outcome(finished.returncode, finished.stdout, finished.stderr)


def parse_outcome(exit_code: int, stdout: str, stderr: str) -> ExportOutcome:
    """Parse the output of `fer-edge export --json`.

    Raises:
        DataError: It failed without an error line.
    """
    error = next((line for line in stderr.splitlines() if line.startswith("error: ")), None)
    if exit_code and error is None:
        raise DataError(f"fer-edge export failed with exit code {exit_code}: {stderr[-2000:]}")
    advice = error.split("Try: ", 1)[1].split("; ")[0] if error and "Try: " in error else None
    if not stdout:
        return ExportOutcome(exit_code, error, advice)
    left_out = re.search(r"^left out ([0-9,]+) training face", stderr, re.MULTILINE)
    report = json.loads(stdout)
    comparison = report["comparison"]
    return ExportOutcome(
        exit_code,
        error,
        advice,
        int(left_out[1].replace(",", "")) if left_out else 0,
        tuple(report["calibration"]["doubts"]),
        comparison["float32"]["accuracy"],
        comparison["drop"],
        tuple(comparison["drop_interval"]),
        comparison["agreement"],
        (*report["gate"]["findings"], report["worst_layer"]),
        tuple(report["advice"]),
    )


def show(name: str, outcome: ExportOutcome) -> None:
    """Print one outcome."""
    verdict = "detected" if outcome.caught else "nothing to detect" if name == UNCHANGED else "NOT DETECTED"
    console.print(f"{name}: exit code {outcome.exit_code}, {verdict}")
    if (
        outcome.drop is not None
        and outcome.drop_interval
        and outcome.agreement is not None
        and outcome.float32 is not None
    ):
        low, high = outcome.drop_interval
        console.print(
            f"  drop {100 * outcome.drop:.2f} points of {outcome.float32:.2%} (95 % interval {100 * low:.2f} to "
            f"{100 * high:.2f}), same answer {outcome.agreement:.1%}"
        )
    lines = [("excluded", f"{outcome.left_out} held-out faces")] if outcome.left_out else []
    lines += [("warning", line) for line in outcome.doubts] + [("finding", line) for line in outcome.findings]
    lines += [("advice", line) for line in outcome.layer_advice]
    lines += [("error", outcome.error)] if outcome.error else []
    for kind, line in [*lines, ("first advice", outcome.advice or "none")]:
        console.print(f"  {kind}: {line}")


def badly_built_run(run: Path, training: FaceSet, folder: Path) -> Path:
    """Train a network that int8 hurts, in a copy of the run's folder.

    Args:
        run: Run folder with the training and held-out faces.
        training: Its training faces.
        folder: Folder of the copy.
    """
    make_folder(folder)
    for name in ("calibration.npz", "heldout.npz"):
        shutil.copy(run / name, folder)
    config = read_json(run / "config.json", "")
    write_json(folder / "config.json", {**config, "network": {"name": "built-badly"}})
    network = badly_built(training)
    network.save(folder / "best.keras")
    return folder


def badly_built(training: FaceSet) -> Any:
    """Train swish convolutions without BatchNormalization, then scale one channel up and its later weights down."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((training.size, training.size, 1)),
            layers.Conv2D(16, 3, padding="same", activation="swish", name="outlier"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="swish", name="after"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="swish"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="swish"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(len(training.classes)),
        ],
        name="built_badly",
    )
    network.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit(training.faces[..., None] / np.float32(255), training.labels, 64, EPOCHS, verbose=0)
    kernel, bias = network.get_layer("outlier").get_weights()
    channel = int(np.abs(kernel).sum(axis=(0, 1, 2)).argmax())
    kernel[..., channel] *= OUTLIER_SCALE
    bias[channel] *= OUTLIER_SCALE
    network.get_layer("outlier").set_weights([kernel, bias])
    kernel, bias = network.get_layer("after").get_weights()
    kernel[:, :, channel] /= OUTLIER_SCALE
    network.get_layer("after").set_weights([kernel, bias])
    return network


if __name__ == "__main__":
    typer.run(main)
