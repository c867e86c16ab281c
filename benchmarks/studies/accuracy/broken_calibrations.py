"""Does `fer-edge export` notice what people do wrong? A run's network calibrated badly, and a network built badly.

python -m studies.accuracy.broken_calibrations runs/train/edge --out runs/broken

Each broken set holds the run's held-out faces as they are and, in place of its training faces, what somebody might
calibrate with by mistake. The badly built network (swish, no BatchNormalization, one channel `LOUD` times as loud as
the others) learns the run's training faces for a minute and is calibrated as it should be. `fer-edge export` runs on
each as a user would type it; printed is what it warned of, what it measured, and what it advises first. Exits with 1
where something was neither warned of nor stopped by the gate.
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
"""Takes a run's training faces and its held-out ones, gives what is calibrated with."""

AS_IT_IS = "as it is"
LOUD = 256.0
"""Times as loud as it learnt to be: 64 cost `legend-cnn` 1.5 points, 256 cost it 30."""
EPOCHS = 30


def one_class(training: FaceSet, _: FaceSet) -> FaceSet:
    """The faces of the largest class: somebody took the first folder."""
    return training.take(training.labels == np.bincount(training.labels).argmax())


def one_picture(training: FaceSet, _: FaceSet) -> FaceSet:
    """One face again and again: the generator yields the same picture."""
    return replace(training, faces=np.repeat(training.faces[:1], len(training), axis=0))


def eight_faces(training: FaceSet, _: FaceSet) -> FaceSet:
    """Eight faces, spread over the set."""
    return training.take(np.linspace(0, len(training) - 1, 8).astype(int))


def black(training: FaceSet, _: FaceSet) -> FaceSet:
    """Pixels divided by 255 once too often."""
    return replace(training, faces=training.faces // 255)


def noise(training: FaceSet, _: FaceSet) -> FaceSet:
    """Random pixels, as in many a tutorial."""
    return replace(training, faces=np.random.default_rng(0).integers(0, 256, training.faces.shape, np.uint8))


def dark(training: FaceSet, _: FaceSet) -> FaceSet:
    """A quarter of the brightness: another camera, or the lamp was off."""
    return replace(training, faces=training.faces // 4)


def judges(_: FaceSet, heldout: FaceSet) -> FaceSet:
    """The faces that are to judge."""
    return replace(heldout, split=np.full(len(heldout), "training"))


BROKEN: dict[str, Break] = {
    "one class": one_class,
    "one picture": one_picture,
    "eight faces": eight_faces,
    "black pictures": black,
    "noise": noise,
    "dark pictures": dark,
    "the judging faces": judges,
}


@dataclass(frozen=True)
class Found:
    """What `fer-edge export` made of one of them."""

    exit_code: int
    error: str | None
    advice: str | None
    """What it says to try first; None where the gate passed."""
    left_out: int = 0
    """Training faces that it did not calibrate with, because they judge."""
    doubts: tuple[str, ...] = ()
    """What it warned of in the calibration."""
    float32: float | None = None
    """Accuracy; None, as are the others, where there was no report."""
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    agreement: float | None = None
    findings: tuple[str, ...] = ()
    """What the gate adds, and which layer is the worst."""
    layer_advice: tuple[str, ...] = ()
    """What the layers' errors tell to do, whether or not the gate passed."""

    @property
    def caught(self) -> bool:
        """Whether somebody who reads the last lines knows that something is wrong."""
        return bool(self.doubts or self.layer_advice) or self.left_out >= LEAST or self.exit_code != 0


def main(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of fer-edge train.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the sets and the exports.")],
    only: Annotated[list[str] | None, typer.Option(help=f"One of: {', '.join(BROKEN)}, built badly.")] = None,
) -> None:
    """Export a run's network with broken calibrations, and a badly built network; print what was noticed."""
    training, heldout = (FaceSet.load(run / f"{name}.npz") for name in ("calibration", "heldout"))
    found = {}
    for name in only or [AS_IT_IS, *BROKEN, "built badly"]:
        folder = out / name.replace(" ", "_")
        make_folder(folder)
        data = None
        if name == "built badly":
            source = badly_built_run(run, training, folder / "run")
        elif name == AS_IT_IS:
            source = run
        else:
            source, data = run, folder / "set.npz"
            joined(BROKEN[name](training, heldout), heldout).save(data)
        found[name] = export(source, data, folder / "export")
        show(name, found[name])
    document = {name: {**asdict(one), "caught": one.caught} for name, one in found.items()}
    write_json(out / "broken_calibrations.json", document)
    print_json(document)
    if missed := [name for name, one in found.items() if not one.caught and name != AS_IT_IS]:
        console.print(f"not noticed: {', '.join(missed)}")
        raise typer.Exit(1)


def joined(training: FaceSet, heldout: FaceSet) -> FaceSet:
    """One set of both."""
    columns = ("faces", "votes", "agreed", "split", "group", "names", "photos")
    both: dict[str, Any] = {name: np.concatenate([getattr(training, name), getattr(heldout, name)]) for name in columns}
    return replace(heldout, **both)


def export(run: Path, data: Path | None, folder: Path) -> Found:
    """Type the command and read what it prints."""
    command = [sys.executable, "-m", "fer_edge", "export", str(run), "--out", str(folder), "--json"]
    finished = subprocess.run([*command, *(["--data", str(data)] if data else [])], capture_output=True, text=True)
    return read(finished.returncode, finished.stdout, finished.stderr)


def read(exit_code: int, stdout: str, stderr: str) -> Found:
    """Understand what `fer-edge export --json` said.

    Raises:
        DataError: It ended in a traceback.
    """
    error = next((line for line in stderr.splitlines() if line.startswith("error: ")), None)
    if exit_code and error is None:
        raise DataError(f"fer-edge export ended with {exit_code} and said: {stderr[-2000:]}")
    advice = error.split("Try: ", 1)[1].split("; ")[0] if error and "Try: " in error else None
    if not stdout:
        return Found(exit_code, error, advice)
    left_out = re.search(r"^left out ([0-9,]+) training face", stderr, re.MULTILINE)
    report = json.loads(stdout)
    comparison = report["comparison"]
    return Found(
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


def show(name: str, found: Found) -> None:
    """Print what was noticed of one of them."""
    noticed = "noticed" if found.caught else "nothing to notice" if name == AS_IT_IS else "NOT NOTICED"
    console.print(f"{name}: exit {found.exit_code}, {noticed}")
    if found.drop is not None and found.drop_interval and found.agreement is not None and found.float32 is not None:
        low, high = found.drop_interval
        console.print(
            f"  drop {100 * found.drop:.2f} points of {found.float32:.2%} (95 % interval {100 * low:.2f} to "
            f"{100 * high:.2f}), same answer {found.agreement:.1%}"
        )
    told = [("left out", f"{found.left_out} faces that judge")] if found.left_out else []
    told += [("warned", line) for line in found.doubts] + [("found", line) for line in found.findings]
    told += [("advised", line) for line in found.layer_advice]
    told += [("refused", found.error)] if found.error else []
    for kind, line in [*told, ("first advice", found.advice or "none")]:
        console.print(f"  {kind}: {line}")


def badly_built_run(run: Path, training: FaceSet, folder: Path) -> Path:
    """Train a network that int8 hurts, in a copy of the run's folder.

    Args:
        run: Whose faces it learns, and is judged on.
        training: Those faces.
        folder: For the copy.
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
    """Swish convolutions without BatchNormalization; after learning, one channel is made loud and heard less."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((training.size, training.size, 1)),
            layers.Conv2D(16, 3, padding="same", activation="swish", name="loud"),
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
    kernel, bias = network.get_layer("loud").get_weights()
    channel = int(np.abs(kernel).sum(axis=(0, 1, 2)).argmax())
    kernel[..., channel] *= LOUD
    bias[channel] *= LOUD
    network.get_layer("loud").set_weights([kernel, bias])
    kernel, bias = network.get_layer("after").get_weights()
    kernel[:, :, channel] /= LOUD
    network.get_layer("after").set_weights([kernel, bias])
    return network


if __name__ == "__main__":
    typer.run(main)
