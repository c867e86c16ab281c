import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.model.contract import read_model
from fer_edge_export.foreign import best_order, chance_warning, select_classes
from fer_edge_export.results import ClassRecall, Figures
from support.command import FerEdge
from support.exports import LABELS
from support.networks import copied, saved, softmax_in_a_network_inside, softmax_in_dense, softmax_layer, with_end


@pytest.fixture
def faces(stripes: FaceSet, tmp_path: Path) -> Path:
    stripes.save(tmp_path / "faces.npz")
    return tmp_path / "faces.npz"


def rescaled(network: Any, factor: float) -> Any:
    """The stripe network for pixels `factor` times as large; its edge filters ignore an offset."""
    import keras

    copy = keras.models.clone_model(network)
    kernel, *others = network.get_weights()
    copy.set_weights([kernel / np.float32(factor), *others])
    return copy


def in_colour(network: Any, *seen: int) -> Any:
    """The stripe network with three channels, of which it uses the `seen` ones only."""
    import keras

    copy = keras.Sequential([keras.Input((16, 16, 3)), *(copied(layer) for layer in network.layers)])
    kernel, *others = network.get_weights()
    wide = np.zeros((3, 3, 3, 2), np.float32)
    wide[:, :, list(seen)] = kernel / len(seen)
    copy.set_weights([wide, *others])
    return copy


def test_a_network_with_rescaling_and_softmax_needs_only_labels(
    fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path
) -> None:
    import keras

    pixels = keras.Input((16, 16, 1))
    output = softmax_in_dense(network)(keras.layers.Rescaling(1 / 255)(keras.layers.RandomFlip()(pixels)))
    theirs = saved(keras.Model(pixels, output, name="theirs"), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--out", tmp_path / "out", "--json")

    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["comparison"]["float32"]["accuracy"] == report["comparison"]["int8"]["accuracy"] == 1.0
    model = read_model(tmp_path / "out" / "model_int8.tflite")
    contract = model.contract
    assert (contract.labels, contract.colour, contract.crop_scale) == (("flat", "lying", "standing"), "grey", 1.0)
    assert (contract.network["name"], contract.data["training"]) == ("theirs", {})
    assert (model.golden.logits.sum(axis=1) - 1 > 1e-3).any()  # not probabilities
    assert fer_edge("selftest", model.path).code == 0
    assert "not stated" in fer_edge("info", model.path).stderr


@pytest.mark.parametrize(("pixels", "factor"), [("0..1", 1), ("0..255", 255), ("-1..1", 2)])
def test_every_pixel_range_is_exported_for_bytes(
    fer_edge: FerEdge, pixels: str, factor: float, network: Any, faces: Path, tmp_path: Path
) -> None:
    theirs = saved(rescaled(network, factor), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--pixels", pixels, "--json")

    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["comparison"]["int8"]["accuracy"] == 1.0
    assert not any("--pixels" in finding for finding in report["gate"]["findings"])
    assert len(report["layers"]) >= 2


@pytest.mark.parametrize("recipe", ["int16x8", "float16", "dynamic", "float32"])
def test_a_third_party_network_passes_its_selftest_with_every_recipe(
    fer_edge: FerEdge, recipe: str, network: Any, faces: Path, tmp_path: Path
) -> None:
    theirs = saved(softmax_in_a_network_inside(rescaled(network, 2)), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--pixels", "-1..1", "--recipe", recipe, "--json")

    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["comparison"][recipe]["accuracy"] == 1.0
    assert fer_edge("selftest", tmp_path / "export" / f"model_{recipe}.tflite").code == 0


def test_a_third_party_network_is_exported_with_auto_and_c_array(
    fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path
) -> None:
    theirs = saved(softmax_layer(rescaled(network, 2)), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--pixels", "-1..1", "--auto", "--c-array")

    assert result.code == 0, result.stderr
    assert "#define FER_EDGE_LABEL_COUNT 3" in (tmp_path / "export" / "model_int8.h").read_text()


def test_a_network_with_three_channels_accepts_grey_faces(
    fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path
) -> None:
    theirs = saved(in_colour(network, 0, 1, 2), tmp_path)
    command = ["export", theirs, "--data", faces, *LABELS, "--pixels", "0..1"]

    refused = fer_edge(*command)
    result = fer_edge(*command, "--colour", "grey", "--json")

    assert refused.code == 1
    assert f"fer-edge prepare --data DIR --out {faces} --imgsz 16 --colour rgb" in refused.stderr
    assert "if it was trained on grey images, add --colour grey" in refused.stderr
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["comparison"]["int8"]["accuracy"] == 1.0
    assert read_model(tmp_path / "export" / "model_int8.tflite").contract.colour == "grey"


@pytest.fixture
def red_faces(stripes: FaceSet, tmp_path: Path) -> Path:
    """Stripes in the red channel; green and blue are constant."""
    coloured = np.stack([stripes.faces, np.full_like(stripes.faces, 90), np.full_like(stripes.faces, 90)], axis=-1)
    replace(stripes, faces=coloured).save(tmp_path / "red.npz")
    return tmp_path / "red.npz"


@pytest.mark.parametrize(("order", "red"), [((), 0), (("--colour", "bgr"), 2)])
def test_colour_has_the_channel_order_of_the_network(
    fer_edge: FerEdge, order: tuple[str, ...], red: int, network: Any, red_faces: Path, tmp_path: Path
) -> None:
    theirs = saved(softmax_in_dense(in_colour(network, red)), tmp_path)

    result = fer_edge("export", theirs, "--data", red_faces, *LABELS, "--pixels", "0..1", *order, "--json")

    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["comparison"]["int8"]["accuracy"] == 1.0
    model = tmp_path / "export" / "model_int8.tflite"
    assert read_model(model).contract.colour == "rgb"
    assert fer_edge("selftest", model).code == 0


def test_a_wrong_channel_order_is_detected(fer_edge: FerEdge, network: Any, red_faces: Path, tmp_path: Path) -> None:
    theirs = saved(in_colour(network, 2), tmp_path)

    result = fer_edge("export", theirs, "--data", red_faces, *LABELS, "--pixels", "0..1", "--json")

    findings = json.loads(result.stdout)["gate"]["findings"]
    assert findings[0].startswith("float32 itself has an accuracy of only 33.3%")
    assert any("accuracy of 100.0% with --pixels 0..1 --colour bgr, and of 33.3% with" in line for line in findings)


def test_a_wrong_range_is_detected(fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path) -> None:
    theirs = saved(softmax_layer(rescaled(network, 255)), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--pixels", "0..1", "--json")

    assert result.code == 0, result.stderr
    findings = json.loads(result.stdout)["gate"]["findings"]
    assert "(chance: 33.3%): check the order of --labels" in findings[0]
    assert "100.0% with --pixels 0..255 --colour grey, and of 33.3% with --pixels 0..1" in findings[1]
    assert "--pixels 0..255" in (tmp_path / "export" / "export_report.html").read_text()
    assert "--pixels 0..255" in result.stderr


def test_a_wrong_order_of_labels_is_detected(fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path) -> None:
    theirs = saved(network, tmp_path)

    result = fer_edge(
        "export", theirs, "--data", faces, "--labels", "standing,flat,lying", "--pixels", "0..1", "--json"
    )

    findings = json.loads(result.stdout)["gate"]["findings"]
    assert any("100.0% with --labels flat,lying,standing, and of 0.0% in the given order" in line for line in findings)


def test_the_best_order_restores_a_permutation() -> None:
    truth = np.repeat(np.arange(7), 10)
    order = np.array([3, 0, 6, 1, 5, 2, 4])  # output i is class order[i]
    predictions = np.argsort(order)[truth]

    assert best_order(truth, predictions, 7) == (order.tolist(), 1.0)


def test_chance_is_measured_by_the_mean_recall() -> None:
    per_class = {**dict.fromkeys("abcd", ClassRecall(10, 0.5)), "e": ClassRecall(0, None)}

    def figures(accuracy: float, recall: float) -> Figures:
        return Figures(40, accuracy, recall, 0.5, 0.1, per_class, [], 0.1)

    assert chance_warning(figures(0.9, 0.25)) != []
    assert chance_warning(figures(0.4, 0.4)) == []


@pytest.fixture
def expressions(stripes: FaceSet, tmp_path: Path) -> Path:
    """Flat pictures are anger, lying stripes neutral, and standing ones happiness or contempt."""
    votes = np.zeros((len(stripes), 8), np.float32)
    votes[np.arange(len(stripes)), np.array([4, 0, 1])[stripes.labels]] = 1
    votes[2::6] = np.eye(8, dtype=np.float32)[7]
    names = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
    replace(stripes, votes=votes, classes=names).save(tmp_path / "expressions.npz")
    return tmp_path / "expressions.npz"


def test_labels_are_matched_to_the_classes_of_the_set(
    fer_edge: FerEdge, network: Any, expressions: Path, tmp_path: Path
) -> None:
    theirs = saved(network, tmp_path)

    result = fer_edge(
        "export", theirs, "--data", expressions, "--labels", "Angry,neutral,happy", "--pixels", "0..1", "--json"
    )

    assert result.code == 0, result.stderr
    comparison = json.loads(result.stdout)["comparison"]
    assert comparison["int8"]["accuracy"] == 1.0
    assert {name: row["n"] for name, row in comparison["per_class"].items()} == {
        "anger": 10,
        "neutral": 10,
        "happiness": 5,
    }
    assert "left out held-out faces of classes not in --labels: 10 contempt" in " ".join(result.stderr.split())
    assert read_model(tmp_path / "export" / "model_int8.tflite").contract.labels == ("anger", "neutral", "happiness")


def test_faces_keep_the_votes_for_known_classes(stripes: FaceSet) -> None:
    votes = np.tile(np.array([[1, 5, 3]], np.float32), (len(stripes), 1))
    votes[0] = [1, 2, 6]
    voted = replace(stripes, votes=votes)

    kept = select_classes(voted, ("lying", "other", "flat"))

    assert len(kept) == len(stripes) - 1
    assert kept.classes == ("lying", "other", "flat")
    assert kept.votes[0].tolist() == [5, 0, 1]


@pytest.mark.parametrize(
    ("given", "error", "code"),
    [
        ((), "does not include the names of its 3 outputs and the pixel range of its training", 2),
        ((), "type: fer-edge export {file} --data {data} --labels NAME1,NAME2,NAME3 --pixels 0..1; other ranges:", 2),
        (("--pixels", "-1..1"), "--labels NAME1,NAME2,NAME3 --pixels -1..1", 2),
        (LABELS, "does not include the pixel range of its training; type: fer-edge export", 2),
        (LABELS, "--labels flat,lying,standing --pixels 0..1; other ranges: 0..255, -1..1, torch, caffe", 2),
        (("--labels", "a,b", "--pixels", "0..1"), "--labels has 2 names, {file} has 3 outputs", 2),
        (("--labels", "happy,joy,sad"), "--labels names one class twice: happy and joy", 2),
        (("--labels", "happy,,sad"), "give comma-separated names", 2),
        (("--labels", ""), "give comma-separated names", 2),
        (
            ("--labels", "a,b,flat", "--pixels", "0..1"),
            "the held-out faces are flat, lying, standing, with fewer than two",
            1,
        ),
        ((*LABELS, "--pixels", "torch"), "--pixels torch is for three channels, {file} has one", 2),
        ((*LABELS, "--pixels", "0..1", "--colour", "bgr"), "--colour bgr is for three channels, {file} has one", 2),
    ],
)
def test_missing_or_wrong_facts_are_rejected(
    fer_edge: FerEdge, given: tuple[str, ...], error: str, code: int, keras_file: Path, faces: Path
) -> None:
    result = fer_edge("export", keras_file, "--data", faces, *given)

    assert result.code == code
    assert error.format(file=keras_file, data=faces) in " ".join(result.stderr.split())


def test_a_run_with_faces_of_another_colour_is_rejected(
    fer_edge: FerEdge, make_run: Callable[..., Path], network: Any
) -> None:
    run = make_run()
    in_colour(network, 0).save(run / "best.keras")

    result = fer_edge("export", run)

    assert result.code == 1
    error = "takes 16x16 pixels, rgb; the faces have 16, grey; prepare them again: --imgsz 16 --colour rgb"
    assert error in " ".join(result.stderr.split())


def test_crop_scale_and_a_temperature_without_validation_faces_are_findings(
    fer_edge: FerEdge, keras_file: Path, stripes: FaceSet, tmp_path: Path
) -> None:
    few = stripes.take(stripes.split != "validation")
    few.save(tmp_path / "few.npz")

    result = fer_edge(
        *("export", keras_file, "--data", tmp_path / "few.npz", *LABELS, "--pixels", "0..1"),
        *("--crop-scale", "1.3", "--out", tmp_path / "out", "--json"),
    )

    findings = json.loads(result.stdout)["gate"]["findings"]
    assert "has no validation faces to fit the temperature on: it is 1" in findings[0]
    assert findings[1].startswith("the device crops squares of 1.3 x the face box")
    contract = read_model(tmp_path / "out" / "model_int8.tflite").contract
    assert (contract.crop_scale, contract.temperature) == (1.3, 1.0)


def hidden_softmax(network: Any) -> Any:
    import keras

    return with_end(network, keras.layers.Softmax(), keras.layers.Reshape((3,)))


def sigmoid(network: Any) -> Any:
    import keras

    return with_end(network, keras.layers.Activation("sigmoid"))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (hidden_softmax, "its outputs are probabilities, and the softmax is not its last layer"),
        (sigmoid, "ends in a sigmoid, with independent classes"),
    ],
)
def test_outputs_that_are_not_logits_are_rejected(
    fer_edge: FerEdge, make: Callable[[Any], Any], error: str, network: Any, faces: Path, tmp_path: Path
) -> None:
    result = fer_edge("export", saved(make(network), tmp_path), "--data", faces, *LABELS, "--pixels", "0..1")

    assert result.code == 1
    assert error in " ".join(result.stderr.split())
