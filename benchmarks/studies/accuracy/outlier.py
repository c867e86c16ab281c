"""Make a run whose network quantises badly to int8, with unchanged float output: one channel is far larger than others.

python -m studies.accuracy.outlier runs/train/legend-cnn --out runs/legend-outlier

The first channel of the first convolution is scaled by 64 and the second convolution's weights for it by 1/64; with
ReLU in between, the network computes the same function. Then compare, on its own held-out faces:

fer-edge export runs/legend-outlier --calib-rule minmax
fer-edge export runs/legend-outlier
fer-edge export runs/legend-outlier --calib-rule minmax --qat-epochs 5
"""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from fer_edge.errors import needs

OUTLIER_SCALE = 64.0


def main(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder; its network begins with two convolutions.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the new run.")],
) -> None:
    """Copy the run and scale up one channel of its network."""
    shutil.copytree(run, out, ignore=shutil.ignore_patterns("export", "last.keras"))
    with needs("train"):
        import keras

        network = keras.models.load_model(out / "best.keras", compile=False)
        first, second = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)][:2]
        kernel, bias = first.get_weights()
        kernel[..., 0], bias[0] = OUTLIER_SCALE * kernel[..., 0], OUTLIER_SCALE * bias[0]
        first.set_weights([kernel, bias])
        kernel, bias = second.get_weights()
        kernel[:, :, 0] /= OUTLIER_SCALE
        second.set_weights([kernel, bias])
        network.save(out / "best.keras")


if __name__ == "__main__":
    typer.run(main)
