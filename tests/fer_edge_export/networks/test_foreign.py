import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.model.contract import read_model
from fer_edge_export.foreign import best_order, knowing, near_chance
from fer_edge_export.results import ClassRecall, Figures
from support.command import FerEdge
from support.exports import LABELS
from support.networks import copied, saved, softmax_in_a_network_inside, softmax_in_dense, softmax_layer, with_end


@pytest.fixture
def faces(stripes: FaceSet, tmp_path: Path) -> Path:
    stripes.save(tmp_path / "faces.npz")
    return tmp_path / "faces.npz"


def rescaled(network: Any, factor: float) -> Any:
    """The stripe network for pixels `factor` times as large; what is added to all is lost on its edge filters."""
    import keras

    copy = keras.models.clone_model(network)
    kernel, *others = network.get_weights()
    copy.set_weights([kernel / np.float32(factor), *others])
    return copy


def in_colour(network: Any, *seen: int) -> Any:
    """The stripe network with three channels; it looks at the `seen` ones only."""
    import keras

    copy = keras.Sequential([keras.Input((16, 16, 3)), *(copied(layer) for layer in network.layers)])
    kernel, *others = network.get_weights()
    wide = np.zeros((3, 3, 3, 2), np.float32)
    wide[:, :, list(seen)] = kernel / len(seen)
    copy.set_weights([wide, *others])
    return copy


def test_a_file_that_takes_bytes_and_gives_probabilities_needs_only_labels(
    fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path
) -> None:
    import keras

    pixels = keras.Input((16, 16, 1))
    answer = softmax_in_dense(network)(keras.layers.Rescaling(1 / 255)(keras.layers.RandomFlip()(pixels)))
    theirs = saved(keras.Model(pixels, answer, name="theirs"), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--out", tmp_path / "out", "--json")

    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["comparison"]["float32"]["accuracy"] == report["comparison"]["int8"]["accuracy"] == 1.0
    model = read_model(tmp_path / "out" / "model_int8.tflite")
    contract = model.contract
    assert (contract.labels, contract.colour, contract.crop_scale) == (("flat", "lying", "standing"), "grey", 1.0)
    assert (contract.network["name"], contract.data["training"]) == ("theirs", {})
    assert (model.golden.logits.sum(axis=1) - 1 > 1e-3).any()  # no probabilities
    assert fer_edge("selftest", model.path).code == 0
    assert "not stated" in fer_edge("info", model.path).stderr


@pytest.mark.parametrize(("pixels", "factor"), [("0..1", 1), ("0..255", 255), ("-1..1", 2)])
def test_pixels_of_every_range_come_in_as_bytes(
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
def test_every_recipe_makes_a_model_of_it_that_passes_its_selftest(
    fer_edge: FerEdge, recipe: str, network: Any, faces: Path, tmp_path: Path
) -> None:
    theirs = saved(softmax_in_a_network_inside(rescaled(network, 2)), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--pixels", "-1..1", "--recipe", recipe, "--json")

    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["comparison"][recipe]["accuracy"] == 1.0
    assert fer_edge("selftest", tmp_path / "export" / f"model_{recipe}.tflite").code == 0


def test_it_comes_as_a_c_header_and_down_the_ladder(
    fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path
) -> None:
    theirs = saved(softmax_layer(rescaled(network, 2)), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--pixels", "-1..1", "--auto", "--c-array")

    assert result.code == 0, result.stderr
    assert "#define FER_EDGE_LABEL_COUNT 3" in (tmp_path / "export" / "model_int8.h").read_text()


def test_a_network_with_three_channels_sees_grey_pictures_three_times(
    fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path
) -> None:
    theirs = saved(in_colour(network, 0, 1, 2), tmp_path)
    command = ["export", theirs, "--data", faces, *LABELS, "--pixels", "0..1"]

    refused = fer_edge(*command)
    result = fer_edge(*command, "--colour", "grey", "--json")

    assert refused.code == 1
    assert f"fer-edge prepare --data DIR --out {faces} --imgsz 16 --colour rgb" in refused.stderr
    assert "if it was trained on grey pictures, add --colour grey" in refused.stderr
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["comparison"]["int8"]["accuracy"] == 1.0
    assert read_model(tmp_path / "export" / "model_int8.tflite").contract.colour == "grey"


@pytest.fixture
def red_faces(stripes: FaceSet, tmp_path: Path) -> Path:
    """Stripes that only red shows; green and blue show nothing."""
    coloured = np.stack([stripes.faces, np.full_like(stripes.faces, 90), np.full_like(stripes.faces, 90)], axis=-1)
    replace(stripes, faces=coloured).save(tmp_path / "red.npz")
    return tmp_path / "red.npz"


@pytest.mark.parametrize(("order", "red"), [((), 0), (("--colour", "bgr"), 2)])
def test_colour_comes_in_the_order_that_the_network_knows(
    fer_edge: FerEdge, order: tuple[str, ...], red: int, network: Any, red_faces: Path, tmp_path: Path
) -> None:
    theirs = saved(softmax_in_dense(in_colour(network, red)), tmp_path)

    result = fer_edge("export", theirs, "--data", red_faces, *LABELS, "--pixels", "0..1", *order, "--json")

    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["comparison"]["int8"]["accuracy"] == 1.0
    model = tmp_path / "export" / "model_int8.tflite"
    assert read_model(model).contract.colour == "rgb"
    assert fer_edge("selftest", model).code == 0


def test_the_wrong_order_of_colours_is_found_out(
    fer_edge: FerEdge, network: Any, red_faces: Path, tmp_path: Path
) -> None:
    theirs = saved(in_colour(network, 2), tmp_path)

    result = fer_edge("export", theirs, "--data", red_faces, *LABELS, "--pixels", "0..1", "--json")

    findings = json.loads(result.stdout)["gate"]["findings"]
    assert findings[0].startswith("float32 itself answers only 33.3% right")
    assert any("answers 100.0% right with --pixels 0..1 --colour bgr, and 33.3% with" in line for line in findings)


def test_a_wrong_range_is_found_out(fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path) -> None:
    theirs = saved(softmax_layer(rescaled(network, 255)), tmp_path)

    result = fer_edge("export", theirs, "--data", faces, *LABELS, "--pixels", "0..1", "--json")

    assert result.code == 0, result.stderr
    findings = json.loads(result.stdout)["gate"]["findings"]
    assert "where chance is 33.3%: are --labels in the order of its outputs" in findings[0]
    assert "right with --pixels 0..255 --colour grey, and 33.3% with --pixels 0..1" in findings[1]
    assert "--pixels 0..255" in (tmp_path / "export" / "export_report.html").read_text()
    assert "--pixels 0..255" in result.stderr


def test_a_wrong_order_of_labels_is_found_out(fer_edge: FerEdge, network: Any, faces: Path, tmp_path: Path) -> None:
    theirs = saved(network, tmp_path)

    result = fer_edge(
        "export", theirs, "--data", faces, "--labels", "standing,flat,lying", "--pixels", "0..1", "--json"
    )

    findings = json.loads(result.stdout)["gate"]["findings"]
    assert any(
        "100.0% right with --labels flat,lying,standing, and 0.0% in the stated order" in line for line in findings
    )


def test_the_best_order_undoes_any_other() -> None:
    truth = np.repeat(np.arange(7), 10)
    order = np.array([3, 0, 6, 1, 5, 2, 4])  # output i stands for class order[i]
    answers = np.argsort(order)[truth]

    assert best_order(truth, answers, 7) == (order.tolist(), 1.0)


def test_near_chance_looks_at_the_mean_recall_and_not_at_what_is_frequent() -> None:
    per_class = {**dict.fromkeys("abcd", ClassRecall(10, 0.5)), "e": ClassRecall(0, None)}

    def figures(accuracy: float, recall: float) -> Figures:
        return Figures(40, accuracy, recall, 0.5, 0.1, per_class, [], 0.1)

    assert near_chance(figures(0.9, 0.25)) != []
    assert near_chance(figures(0.4, 0.4)) == []


@pytest.fixture
def expressions(stripes: FaceSet, tmp_path: Path) -> Path:
    """Flat pictures are angry, lying stripes neutral, and standing ones happy or contemptuous."""
    votes = np.zeros((len(stripes), 8), np.float32)
    votes[np.arange(len(stripes)), np.array([4, 0, 1])[stripes.labels]] = 1
    votes[2::6] = np.eye(8, dtype=np.float32)[7]
    names = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
    replace(stripes, votes=votes, classes=names).save(tmp_path / "expressions.npz")
    return tmp_path / "expressions.npz"


def test_known_names_meet_the_classes_of_the_set(
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
    told = " ".join(result.stderr.split())
    assert "left out held-out faces of classes that --labels lacks: 10 contempt" in told
    assert read_model(tmp_path / "export" / "model_int8.tflite").contract.labels == ("anger", "neutral", "happiness")


def test_faces_stay_with_the_votes_for_classes_that_are_known(stripes: FaceSet) -> None:
    votes = np.tile(np.array([[1, 5, 3]], np.float32), (len(stripes), 1))
    votes[0] = [1, 2, 6]
    voted = replace(stripes, votes=votes)

    kept = knowing(voted, ("lying", "other", "flat"))

    assert len(kept) == len(stripes) - 1
    assert kept.classes == ("lying", "other", "flat")
    assert kept.votes[0].tolist() == [5, 0, 1]


@pytest.mark.parametrize(
    ("given", "told", "code"),
    [
        ((), "does not tell what its 3 outputs are called, in their order and which range its pixels had in", 2),
        ((), "type: fer-edge export {file} --data {data} --labels NAME1,NAME2,NAME3 --pixels 0..1; other ranges:", 2),
        (("--pixels", "-1..1"), "--labels NAME1,NAME2,NAME3 --pixels -1..1", 2),
        (LABELS, "does not tell which range its pixels had in training; type: fer-edge export", 2),
        (LABELS, "--labels flat,lying,standing --pixels 0..1; other ranges: 0..255, -1..1, torch, caffe", 2),
        (("--labels", "a,b", "--pixels", "0..1"), "--labels has 2 names, {file} has 3 outputs", 2),
        (("--labels", "happy,joy,sad"), "--labels names one class twice: happy and joy", 2),
        (("--labels", "happy,,sad"), "give names between commas", 2),
        (("--labels", ""), "give names between commas", 2),
        (("--labels", "a,b,flat", "--pixels", "0..1"), "the held-out faces are flat, lying, standing, which is", 1),
        ((*LABELS, "--pixels", "torch"), "--pixels torch is for three channels, {file} has one", 2),
        ((*LABELS, "--pixels", "0..1", "--colour", "bgr"), "--colour bgr is for three channels, {file} has one", 2),
    ],
)
def test_what_is_stated_wrongly_or_not_at_all_is_one_line(
    fer_edge: FerEdge, given: tuple[str, ...], told: str, code: int, keras_file: Path, faces: Path
) -> None:
    result = fer_edge("export", keras_file, "--data", faces, *given)

    assert result.code == code
    assert told.format(file=keras_file, data=faces) in " ".join(result.stderr.split())


def test_a_run_whose_faces_are_of_another_colour_is_one_line(
    fer_edge: FerEdge, make_run: Callable[..., Path], network: Any
) -> None:
    run = make_run()
    in_colour(network, 0).save(run / "best.keras")

    result = fer_edge("export", run)

    assert result.code == 1
    told = "takes 16x16 pixels, rgb; the faces have 16, grey; prepare them again: --imgsz 16 --colour rgb"
    assert told in " ".join(result.stderr.split())


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
    assert "has no validation faces to fit a temperature on; it is 1" in findings[0]
    assert findings[1].startswith("the device will cut squares of 1.3 x the face box")
    contract = read_model(tmp_path / "out" / "model_int8.tflite").contract
    assert (contract.crop_scale, contract.temperature) == (1.3, 1.0)


def hidden_softmax(network: Any) -> Any:
    import keras

    return with_end(network, keras.layers.Softmax(), keras.layers.Reshape((3,)))


def sigmoid(network: Any) -> Any:
    import keras

    return with_end(network, keras.layers.Activation("sigmoid"))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (hidden_softmax, "its answers are probabilities, and the softmax that makes them is not its last layer"),
        (sigmoid, "ends in a sigmoid, which judges each class by itself"),
    ],
)
def test_answers_that_cannot_be_made_logits_are_refused(
    fer_edge: FerEdge, make: Callable[[Any], Any], told: str, network: Any, faces: Path, tmp_path: Path
) -> None:
    result = fer_edge("export", saved(make(network), tmp_path), "--data", faces, *LABELS, "--pixels", "0..1")

    assert result.code == 1
    assert told in " ".join(result.stderr.split())
