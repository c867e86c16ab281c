import json
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.model.contract import read_model
from fer_edge_export.accuracy.evaluation_faces import evaluation_faces, fitting_faces
from fer_edge_export.quantize.calibrate import calibration_subsets
from support.command import FerEdge, Finished
from support.exports import FILES, LABELS, STRIPES


@pytest.mark.parametrize("given", ["", "best.keras"])
def test_a_face_detector_run_is_rejected(fer_edge: FerEdge, make_run: Callable[..., Path], given: str) -> None:
    run = make_run()
    (run / "config.json").write_text('{"task": "detect", "settings": {}, "network": {"name": "face"}, "source": {}}')

    result = fer_edge("export", run / given)

    error = f"error: {run}: a face detector run of an older fer-edge; detectors are no longer trained\n"
    assert (result.code, result.stderr) == (1, error)
    assert not (run / "export").exists()


def test_same_run_and_seed_give_the_same_bytes(
    fer_edge: FerEdge, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run, folders = make_run(), (tmp_path / "one", tmp_path / "my models")
    results = [fer_edge("export", run, "--out", folder, "--calib-samples", 9) for folder in folders]

    for file in ("labels.txt", "model_float32.tflite", "model_int8.tflite"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    reports = [json.loads((folder / "export_report.json").read_text()) for folder in folders]
    for report in reports:
        del report["origin"]  # date and command
    assert reports[0] == reports[1]
    assert f"; try it: fer-edge selftest '{tmp_path}/my models/model_int8.tflite'" in results[1].stderr
    assert results[1].stdout == ""


def test_one_held_out_face_is_exported_without_layer_errors(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    rows = np.concatenate(
        [np.flatnonzero(stripes.split == "training")[:60], np.flatnonzero(stripes.split == "testing")[:1]]
    )
    stripes.take(rows).save(tmp_path / "one.npz")

    result = fer_edge("export", make_run(), "--data", tmp_path / "one.npz", "--out", tmp_path / "out", "--json", code=0)

    report = json.loads(result.stdout)
    assert (report["comparison"]["n"], report["layers"], report["worst_layer"]) == (1, [], None)
    assert "1 face is too few" in result.stderr


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    fer_edge: FerEdge, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    result = fer_edge("export", make_run(), "--out", tmp_path / "file", code=1)

    assert "converting" not in result.stderr
    assert "file is not a folder; choose another folder" in result.stderr


@pytest.fixture(scope="module")
def black(stripes: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with a single black calibration face."""
    few = stripes.take(np.flatnonzero(stripes.split != "training")[:40])
    split = few.split.copy()
    split[0] = "training"
    faces = few.faces.copy()
    faces[0] = 0
    path = tmp_path_factory.mktemp("black") / "black.npz"
    replace(few, split=split, faces=faces).save(path)
    return path


@pytest.fixture(scope="module")
def refused(fer_edge: FerEdge, run_in: Callable[..., Path], black: Path) -> tuple[Path, Finished]:
    """Folder and output of an export that fails the gate."""
    run = run_in(black.parent)
    return run / "export", fer_edge("export", run, "--data", black, "--json", code=3)


def test_calibration_with_one_black_face_fails_the_gate(refused: tuple[Path, Finished]) -> None:
    out, result = refused

    gate = json.loads(result.stdout)["gate"]
    assert (gate["rule"], gate["max_drop"], gate["passed"]) == ("point", 0.01, False)
    assert gate["failures"][1:] == [
        "lying collapsed: recall 100.00% -> 0.00%, n=6",
        "standing collapsed: recall 100.00% -> 0.00%, n=6",
    ]
    assert "warning: only 1 calibration face, the minimum is 32; give a larger set: --data SET.npz" in result.stderr
    assert "warning: the calibration faces are nearly blank (standard deviation 0.0 of 255)" in result.stderr
    assert "error: int8 lost " in result.stderr
    assert "Try: only 1 calibration face, the minimum is 32; give a larger set" in result.stderr
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_auto_tries_recipes_until_one_passes_the_gate(
    fer_edge: FerEdge, make_run: Callable[..., Path], black: Path
) -> None:
    run = make_run()

    result = fer_edge("export", run, "--data", black, "--auto", "--json")

    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert [(rung["tried"], rung["passed"]) for rung in report["ladder"]] == [("int8", False), ("dynamic", True)]
    assert (report["recipe"], report["calibration"], report["gate"]["passed"]) == ("dynamic", None, True)
    assert set(report["files"]) == {"float32", "dynamic"}
    assert read_model(run / "export" / "model_dynamic.tflite").contract.recipe == "dynamic"
    assert "| dynamic | " in (run / "export" / "export_report.md").read_text()


def test_auto_tries_other_calibration_faces_before_another_recipe(
    fer_edge: FerEdge, make_run: Callable[..., Path], many_stripes: FaceSet, tmp_path: Path
) -> None:
    first = calibration_subsets(many_stripes, 40, seed=0)[0].names
    faces = many_stripes.faces.copy()
    faces[np.isin(many_stripes.names, first)] = 0
    replace(many_stripes, faces=faces).save(tmp_path / "half_black.npz")

    result = fer_edge(
        "export", make_run(), "--data", tmp_path / "half_black.npz", "--calib-samples", 40, "--auto", "--json"
    )

    assert result.code == 0, result.stderr
    report = json.loads(result.stdout)
    assert [(rung["tried"], rung["passed"]) for rung in report["ladder"]] == [
        ("int8", False),
        ("int8, other faces", True),
    ]
    assert report["calibration"]["doubts"] == []


def test_the_report_shows_the_influence_of_the_calibration_faces(
    fer_edge: FerEdge, make_run: Callable[..., Path], many_stripes: FaceSet, tmp_path: Path
) -> None:
    many_stripes.save(tmp_path / "many.npz")
    run = make_run()

    result = fer_edge("export", run, "--data", tmp_path / "many.npz", "--json")

    assert result.code == 0, result.stderr
    calibration = json.loads(result.stdout)["calibration"]
    assert calibration["other_faces"] == {"faces": 100, "accuracy": 1.0, "same_answer": 1.0}
    assert (calibration["choice"]["split"], calibration["choice"]["n"]) == ("validation", 240)
    report = (run / "export" / "export_report.md").read_text()
    assert "- Calibrated with 100 other training faces instead: accuracy 100.00%, same prediction for 100.0%" in report
    assert "Calibrated with 100 other training faces" in (run / "export" / "export_report.html").read_text()


def test_the_report_names_the_worst_layer_and_gives_advice(refused: tuple[Path, Finished]) -> None:
    out, result = refused

    report = json.loads(result.stdout)
    harm = {layer["name"]: layer["harm"] for layer in report["layers"]}
    assert max(harm, key=harm.__getitem__) in report["worst_layer"]
    assert "of its values are outside the calibrated range (threshold 1%)" in result.stderr
    page = (out / "export_report.html").read_text()
    assert report["worst_layer"] in page
    assert "lying collapsed: recall 100.00% -&gt; 0.00%, n=6" in page
    assert page.count("<img") == 1 + 19  # the plot, and every evaluation face
    assert "<div class='tile failed'><b>FAILED</b>" in page
    assert all(escape(remedy) in page for remedy in report["remedies"])
    assert report["remedies"][-1] == "or accept the drop: --max-drop"
    for shown in (report["origin"]["date"], report["origin"]["data"], "always flat", "<dt>McNemar p</dt>"):
        assert shown in page


def test_faces_on_which_both_models_disagree_are_shown_first(refused: tuple[Path, Finished]) -> None:
    report = json.loads(refused[1].stdout)

    order = [
        (face["float32"]["label"] == face["int8"]["label"], -face["kl_divergence"]) for face in report["disagreements"]
    ]
    assert order == sorted(order)
    worst = report["disagreements"][0]
    assert worst["float32"]["label"] == worst["truth"] != worst["int8"]["label"]


@pytest.mark.parametrize(
    ("flags", "code", "error"),
    [
        (("--c-array", "--recipe", "float16"), 1, "--recipe int8 --c-array"),
        (("--recipe", "float16", "--auto"), 2, "--recipe float16 and --auto exclude each other; give one"),
        (("--recipe", "float16", "--int8"), 2, "--recipe float16 and --int8 exclude each other; give one"),
        (("--recipe", "float16", "--qat-epochs", 1), 2, "--qat-epochs fine-tunes for int8, not for --recipe float16"),
        (LABELS, 2, "is a run folder; leave out --labels, --pixels, --colour and --crop-scale"),
    ],
)
def test_conflicting_flags_are_rejected_before_anything_is_written(
    fer_edge: FerEdge, make_run: Callable[..., Path], flags: tuple[object, ...], code: int, error: str
) -> None:
    run = make_run()

    assert error in fer_edge("export", run / "best.keras", *flags, code=code).stderr
    assert not (run / "export").exists()


def test_auto_keeps_int8_if_it_passes_and_a_missing_temperature_is_fitted_on_validation_faces(
    fer_edge: FerEdge, make_run: Callable[..., Path]
) -> None:
    report = json.loads(fer_edge("export", make_run(temperature=None), "--auto", "--json").stdout)

    assert [rung["recipe"] for rung in report["ladder"]] == [report["recipe"]] == ["int8"]
    assert report["temperature"] == 0.25  # every prediction is correct: the lowest is best


def test_keras_file_outside_a_run_is_exported_with_unknown_training_data(
    fer_edge: FerEdge, keras_file: Path, stripes: FaceSet, tmp_path: Path
) -> None:
    stripes.save(tmp_path / "set.npz")
    (tmp_path / "theirs.keras").write_bytes(keras_file.read_bytes())
    (tmp_path / "config.json").write_text('{"architectures": ["Net"]}')  # of another program: not a run folder

    given = ["--data", tmp_path / "set.npz", *LABELS, "--pixels", "0..1", "--out", tmp_path / "out", "--int8"]
    fer_edge("export", tmp_path / "theirs.keras", *given, code=0)

    contract = read_model(tmp_path / "out" / "model_int8.tflite").contract
    assert (contract.network["name"], contract.data["training"]) == ("stripes", {})
    assert not (tmp_path / "out" / "seen.npz").exists()


def test_keras_file_without_faces_is_rejected_with_the_command(fer_edge: FerEdge, keras_file: Path) -> None:
    result = fer_edge("export", keras_file)

    assert result.code == 2
    assert f"type: fer-edge export {keras_file} --data SET.npz" in result.stderr


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("calibration.npz", "has no calibration.npz; give another set: fer-edge export"),
        ("heldout.npz", "has no heldout.npz"),
        ("config.json", "is not a run folder; create one: fer-edge train"),
        ("best.keras", "best.keras: no such file"),
    ],
)
def test_incomplete_run_folder_is_rejected(
    fer_edge: FerEdge, make_run: Callable[..., Path], missing: str, line: str
) -> None:
    result = fer_edge("export", make_run(missing))

    assert result.code == 1
    assert line in result.stderr


def test_set_with_other_classes_is_refused(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    replace(stripes, classes=("flat", "lying", "smile")).save(tmp_path / "other.npz")

    result = fer_edge("export", make_run(), "--data", tmp_path / "other.npz")

    assert result.code == 1
    assert "the data has smile, the model knows only flat, lying, standing" in result.stderr


def test_evaluation_faces_are_the_testing_ones_if_any(stripes: FaceSet) -> None:
    without = stripes.take(stripes.split != "testing")

    assert evaluation_faces(stripes, "majority")[0] == "testing"
    assert evaluation_faces(without, "majority")[0] == "validation"


def test_majority_protocol_leaves_out_faces_without_a_majority(stripes: FaceSet) -> None:
    agreed = stripes.agreed.copy()
    agreed[np.flatnonzero(stripes.split == "testing")[:4]] = False
    some = replace(stripes, agreed=agreed)

    assert len(evaluation_faces(some, "majority")[1]) == 26
    assert len(evaluation_faces(some, "all")[1]) == 30


def test_faces_that_fit_the_temperature_do_not_evaluate(stripes: FaceSet, capfd: pytest.CaptureFixture[str]) -> None:
    many = stripes.take(np.tile(np.flatnonzero(stripes.split != "training"), 10))
    many = replace(many, split=np.full(len(many), "validation"), group=np.arange(len(many)).astype(str))
    fitting, judged = fitting_faces(many, many, "validation", "majority")
    assert len(fitting) + len(judged) == len(many)
    assert not set(fitting.group.tolist()) & set(judged.group.tolist())
    assert f"{len(fitting)} validation faces fit the temperature, the other" in capfd.readouterr().err
    few = many.take(np.arange(20))
    fitting, judged = fitting_faces(few, few, "validation", "majority")
    assert (len(fitting), len(judged)) == (0, 20)


def other_stripes(stripes: FaceSet, **changed: object) -> FaceSet:
    """The same pictures as another data set, from other photos."""
    source = {"name": "others", "digest": "7" * 64}
    return replace(stripes, **{"source": source, "photos": stripes.photos + np.uint64(500), **changed})


def test_faces_used_in_training_are_not_evaluated(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    other = np.roll(stripes.split, 3)  # training becomes validation, and so on
    other_stripes(stripes, split=other, photos=stripes.photos).save(tmp_path / "again.npz")
    trained = other_stripes(stripes, split=np.where(stripes.split == "training", "testing", "training"))
    replace(trained, photos=stripes.photos).save(tmp_path / "trained.npz")
    run = make_run()

    result = fer_edge("export", run, "--data", tmp_path / "again.npz", "--json")
    refused = fer_edge("export", run, "--data", tmp_path / "trained.npz")

    assert json.loads(result.stdout)["comparison"]["n"] == 30  # testing, formerly validation
    assert "left out 30 held-out faces of" in result.stderr
    assert refused.code == 1
    assert "the network was trained on every held-out face of" in refused.stderr
    assert "leave out --data" in refused.stderr


def test_a_set_without_photo_digests_is_evaluated_with_a_warning(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    other_stripes(stripes, photos=np.zeros(0, np.uint64)).save(tmp_path / "old.npz")

    result = fer_edge("export", make_run(), "--data", tmp_path / "old.npz")

    assert result.code == 0, result.stderr
    assert "warning: cannot tell whether the network was trained on the held-out faces of" in result.stderr


def test_keras_file_in_a_run_folder_has_the_data_of_the_run(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    turned = other_stripes(stripes).with_classes(("standing", "flat", "lying"))
    turned.save(tmp_path / "other.npz")
    run = make_run()

    with_set = fer_edge("export", run / "best.keras", "--data", tmp_path / "other.npz", "--json")
    alone = fer_edge("export", run / "last.keras", "--out", tmp_path / "alone", "--json")

    assert json.loads(with_set.stdout)["comparison"]["int8"]["accuracy"] == 1.0
    contract = read_model(run / "export" / "model_int8.tflite").contract
    assert contract.labels == ("flat", "lying", "standing")
    assert (contract.data["training"], contract.temperature) == (STRIPES, 0.5)
    assert contract.data["calibration"]["source"] == contract.data["heldout"] == {"name": "others", "digest": "7" * 64}
    assert alone.code == 0, alone.stderr
    assert json.loads(alone.stdout)["temperature"] == 0.25  # the run's is that of its best weights


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_damaged_keras_file_is_rejected(
    fer_edge: FerEdge, make_run: Callable[..., Path], place: float, tmp_path: Path
) -> None:
    run = make_run()
    content = bytearray((run / "best.keras").read_bytes())
    content[int(place * len(content))] ^= 255
    (run / "best.keras").write_bytes(content)

    result = fer_edge("export", run)

    assert result.code == 1
    assert "best.keras: not a readable Keras model" in result.stderr
