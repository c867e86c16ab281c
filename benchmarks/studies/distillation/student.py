"""Train a network of edge's family on stored views and a teacher's answers for them.

python -m studies.distillation.student --faces faces.npz --views views --network nano --out runs/nano \
    --legs 32:40:0.004,48:10:0.001

A leg is side:epochs:learning rate; the next one starts from the averaged weights of the last. State is written after
every epoch: after a kill, the same command goes on. The averaged weights of each leg are `leg0.keras`, `leg1.keras`;
accuracy and balanced accuracy are those of the half that chooses. `fer-edge export` takes the file with `--labels`,
`--pixels 0..1` and `--data faces.npz`, and shows the half that proves. In the background: TF_NUM_INTRAOP_THREADS=1.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cv2
import keras
import numpy as np
import numpy.typing as npt
import typer

from fer_edge.console import console
from fer_edge.data.faceset import FaceSet
from fer_edge.data.metrics import confusion, recalls, softmax
from fer_edge.errors import UsageError
from fer_edge.files import make_folder, read_json, replacing, write_json
from fer_edge.imaging.images import Pixels
from fer_edge.model.quantization import to_input
from fer_edge_train.training.networks import make_network
from studies.distillation.views import VIEWS

BATCH = 256
DECAY = 0.999
"""Of the averaged weights, per step."""
LABEL_SHARE = 0.4
"""Weight of the labels in the targets; the teacher's answers have the rest."""
DROPOUT = 0.1

Floats = npt.NDArray[np.floating[Any]]


class Leg(NamedTuple):
    """A part of the training at one size."""

    size: int
    epochs: int
    learning_rate: float


def read_legs(text: str) -> list[Leg]:
    """Read side:epochs:learning rate, separated by commas.

    >>> read_legs("32:40:0.004,48:10:0.001")
    [Leg(size=32, epochs=40, learning_rate=0.004), Leg(size=48, epochs=10, learning_rate=0.001)]
    """
    try:
        parts = [leg.split(":") for leg in text.split(",")]
        return [Leg(int(size), int(epochs), float(rate)) for size, epochs, rate in parts]
    except ValueError as error:
        raise UsageError(f"--legs {text}: give side:epochs:learning rate, such as 32:40:0.004") from error


def targets(votes: Floats, logits: Floats) -> Floats:
    """Mix labels and a teacher's answers, both (n, classes); votes that a single annotator gave count as noise."""
    kept = np.where((votes <= 1) & (votes.max(axis=1, keepdims=True) > 1), 0, votes)
    labels = kept / kept.sum(axis=1, keepdims=True)
    return np.asarray(LABEL_SHARE * labels + (1 - LABEL_SHARE) * softmax(logits.astype(np.float32)), np.float32)


def resized(faces: Pixels, size: int) -> Pixels:
    """Resize (n, side, side) uint8 faces."""
    if faces.shape[1] == size:
        return faces
    return np.asarray([cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA) for face in faces], np.uint8)


class Student:
    """A network, its averaged weights and its optimizer in one leg."""

    def __init__(self, network: keras.Model, leg: Leg, steps: int) -> None:
        import tensorflow as tf

        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, leg.epochs * steps, warmup_target=leg.learning_rate, warmup_steps=steps
        )
        self.network = network
        self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.05)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(network.trainable_variables)
        self.averages = [tf.Variable(weight.value) for weight in network.weights]
        self.train = tf.function(self._train, reduce_retracing=True)

    def _train(self, faces: Any, wanted: Any) -> Any:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            logits = self.network(faces, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        for average, weight in zip(self.averages, self.network.weights, strict=True):
            average.assign(DECAY * average + (1 - DECAY) * tf.convert_to_tensor(weight.value))
        return loss

    def variables(self) -> dict[str, Any]:
        """Every variable of the state, by name; those of the network include the seeds of its dropout."""
        groups = {"network": self.network.variables, "optimizer": self.optimizer.variables, "average": self.averages}
        return {f"{kind}{number}": one for kind, group in groups.items() for number, one in enumerate(group)}

    def save(self, path: Path) -> None:
        """Write the state to `path` (.npz)."""
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **{name: one.numpy() for name, one in self.variables().items()})

    def load(self, path: Path) -> None:
        """Read the state of `save`."""
        with np.load(path) as state:
            for name, one in self.variables().items():
                one.assign(state[name])

    def averaged(self) -> keras.Model:
        """Copy the network with the averaged weights."""
        copy = keras.models.clone_model(self.network)
        copy.set_weights([average.numpy() for average in self.averages])
        return copy


def evaluate(network: keras.Model, faces: FaceSet) -> tuple[float, float]:
    """Return accuracy and balanced accuracy."""
    size = int(network.input_shape[1])
    logits = network.predict(to_input(resized(faces.faces, size)), batch_size=512, verbose=0)
    matrix = confusion(faces.labels, logits.argmax(axis=1), len(faces.classes))
    return float(matrix.trace() / matrix.sum()), float(np.nanmean(recalls(matrix)))


def epoch_loss(student: Student, leg: Leg, view: Pixels, wanted: Floats, rng: np.random.Generator) -> float:
    """Train for an epoch on the faces of one view, each flipped at random; returns the mean loss."""
    order = rng.permutation(len(wanted))
    losses = []
    for start in range(0, len(order) - BATCH + 1, BATCH):
        rows = np.sort(order[start : start + BATCH])
        faces = resized(np.asarray(view[rows]), leg.size)
        flip = rng.random(len(faces)) < 0.5
        faces[flip] = faces[flip, :, ::-1]
        losses.append(float(student.train(to_input(faces), wanted[rows])))
    return float(np.mean(losses))


def main(
    faces: Annotated[Path, typer.Option(help="Prepared set of studies.distillation.faces.")],
    views: Annotated[Path, typer.Option(help="Folder of studies.distillation.views.")],
    out: Annotated[Path, typer.Option(help="Folder of the weights; resumes if there are some.")],
    network: Annotated[str, typer.Option(help="nano, small or edge.")] = "edge",
    legs: Annotated[str, typer.Option(help="side:epochs:learning rate, ...")] = "32:60:0.004,40:30:0.002,48:25:0.001",
    start: Annotated[Path | None, typer.Option(help="A .keras whose weights the first leg starts from.")] = None,
) -> None:
    """Train, and write the averaged weights of each leg."""
    cv2.setNumThreads(1)
    make_folder(out)
    given = FaceSet.load(faces)
    training, choosing = given.part("training"), given.part("validation").under("majority")
    wanted = [targets(training.votes, np.load(views / f"logits{view}.npy")) for view in range(VIEWS)]
    state_file = out / "state.json"
    done = read_json(state_file, "") if state_file.exists() else {"leg": 0, "epoch": 0}
    for number, leg in enumerate(read_legs(legs)[done["leg"] :], start=done["leg"]):
        keras.utils.set_random_seed(number)
        built = make_network(network, len(given.classes), leg.size)
        for layer in built.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = DROPOUT
        before = out / f"leg{number - 1}.keras" if number else start
        if before:
            built.set_weights(keras.models.load_model(before, compile=False).get_weights())
        student = Student(built, leg, len(training) // BATCH)
        first = done["epoch"] if number == done["leg"] else 0
        if first:
            student.load(out / f"state{first}.npz")
        for epoch in range(first, leg.epochs):
            begun, view = time.monotonic(), (epoch + 3 * number) % VIEWS
            pixels = np.load(views / f"view{view}.npy", mmap_mode="r")
            loss = epoch_loss(student, leg, pixels, wanted[view], np.random.default_rng((number, epoch)))
            accuracy, balanced = evaluate(student.averaged(), choosing)
            row = {"leg": number, "epoch": epoch + 1, "loss": loss, "accuracy": accuracy, "balanced": balanced}
            student.save(out / f"state{epoch + 1}.npz")
            if epoch + 1 == leg.epochs:
                student.averaged().save(out / f"leg{number}.keras")
            write_json(state_file, {"leg": number, "epoch": epoch + 1})
            for old in out.glob("state*.npz"):
                if old.name != f"state{epoch + 1}.npz":
                    old.unlink()
            with (out / "history.jsonl").open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            seconds = time.monotonic() - begun
            console.print(
                f"{network} leg {number} ({leg.size} px) epoch {epoch + 1}/{leg.epochs}: loss {loss:.4f}, "
                f"accuracy {accuracy:.2%}, balanced {balanced:.2%}, {seconds:.0f} s"
            )


if __name__ == "__main__":
    typer.run(main)
