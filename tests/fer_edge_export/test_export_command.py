import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.model.contract import read_model
from fer_edge_export.accuracy.held_out import fitting_faces, held_out
from fer_edge_export.quantize.calibrate import choose_two
from support.command import FerEdge, Finished
from support.exports import FILES, LABELS, STRIPES


@pytest.mark.parametrize("given", ["", "best.keras"])
def test_a_face_detectors_run_is_one_clear_line(fer_edge: FerEdge, make_run: Callable[..., Path], given: str) -> None:
    run = make_run()
    (run / "config.json").write_text('{"task": "detect", "settings": {}, "network": {"name": "face"}, "source": {}}')

    result = fer_edge("export", run / given)

    told = f"error: {run}: a face detector's run of an older fer-edge; detectors are no longer trained\n"
    assert (result.code, result.stderr) == (1, told)
    assert not (run / "export").exists()


def test_same_run_and_seed_give_the_same_bytes(
    fer_edge: FerEdge, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run, folders = make_run(), (tmp_path / "one", tmp_path / "my models")
    told = [fer_edge("export", run, "--out", folder, "--calib-samples", 9) for folder in folders]

    for file in FILES:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    assert f"; try it: fer-edge selftest '{tmp_path}/my models/model_int8.tflite'" in told[1].stderr
    assert told[1].stdout == ""


@pytest.fixture(scope="module")
def black(stripes: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set that has but one black picture to calibrate with."""
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
    """A folder with an export that the gate stops, and what was told."""
    run = run_in(black.parent)
    return run / "export", fer_edge("export", run, "--data", black, "--json", code=3)


def test_one_black_picture_for_calibration_fails_the_gate(refused: tuple[Path, Finished]) -> None:
    out, result = refused

    gate = json.loads(result.stdout)["gate"]
    assert (gate["rule"], gate["max_drop"], gate["passed"]) == ("point", 0.01, False)
    assert gate["failures"][1:] == [
        "lying collapsed: recall 1.0000 -> 0.0000, n=6",
        "standing collapsed: recall 1.0000 -> 0.0000, n=6",
    ]
    assert "warning: only 1 calibration face, 32 are the least; give a set with more: --data SET.npz" in result.stderr
    assert "warning: the calibration faces are nearly blank (their grey values spread by 0.0 of 255)" in result.stderr
    assert "error: int8 lost 0." in result.stderr
    assert "Try: only 1 calibration face, 32 are the least; give a set with more" in result.stderr
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_auto_walks_down_the_ladder_until_the_gate_holds(
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


def test_auto_calibrates_with_other_faces_before_it_takes_another_recipe(
    fer_edge: FerEdge, make_run: Callable[..., Path], many_stripes: FaceSet, tmp_path: Path
) -> None:
    first = choose_two(many_stripes, 40, seed=0)[0].names
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


def test_the_report_says_how_much_hangs_on_the_calibration_faces(
    fer_edge: FerEdge, make_run: Callable[..., Path], many_stripes: FaceSet, tmp_path: Path
) -> None:
    many_stripes.save(tmp_path / "many.npz")
    run = make_run()

    result = fer_edge("export", run, "--data", tmp_path / "many.npz", "--json")

    assert result.code == 0, result.stderr
    calibration = json.loads(result.stdout)["calibration"]
    assert calibration["other_faces"] == {"faces": 100, "accuracy": 1.0, "same_answer": 1.0}
    assert (calibration["choice"]["split"], calibration["choice"]["n"]) == ("validation", 240)
    told = (run / "export" / "export_report.md").read_text()
    assert "- Calibrated with 100 other training faces instead: accuracy 1.0000, same answer 100.0%" in told
    assert "Calibrated with 100 other training faces" in (run / "export" / "export_report.html").read_text()


def test_the_report_names_the_layer_that_hurts_and_says_what_to_do(refused: tuple[Path, Finished]) -> None:
    out, result = refused

    report = json.loads(result.stdout)
    harm = {layer["name"]: layer["harm"] for layer in report["layers"]}
    assert max(harm, key=harm.__getitem__) in report["worst_layer"]
    assert "of its values lie outside the calibrated range (the calibration is to blame from 1% on)" in result.stderr
    page = (out / "export_report.html").read_text()
    assert report["worst_layer"] in page
    assert "lying collapsed: recall 1.0000 -&gt; 0.0000, n=6" in page
    assert page.count("<img") == 1 + 19  # the layers, and every face that judged


def test_faces_on_which_both_models_disagree_are_shown_first(refused: tuple[Path, Finished]) -> None:
    report = json.loads(refused[1].stdout)

    divergence = [face["kl_divergence"] for face in report["disagreements"]]
    assert divergence == sorted(divergence, reverse=True)
    worst = report["disagreements"][0]
    assert worst["float32"]["label"] == worst["truth"] != worst["int8"]["label"]


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (("--c-array", "--recipe", "float16"), 1, "--recipe int8 --c-array"),
        (("--recipe", "float16", "--auto"), 2, "--recipe float16 and --auto ask for two things; give one"),
        (("--recipe", "float16", "--int8"), 2, "--recipe float16 and --int8 ask for two things; give one"),
        (("--recipe", "float16", "--qat-epochs", 1), 2, "--qat-epochs fine-tunes for int8, not for --recipe float16"),
        (LABELS, 2, "--labels, --pixels, --colour and --crop-scale are for a .keras file outside a run folder"),
    ],
)
def test_flags_that_do_not_go_together_are_refused_before_anything_is_written(
    fer_edge: FerEdge, make_run: Callable[..., Path], flags: tuple[object, ...], code: int, told: str
) -> None:
    run = make_run()

    assert told in fer_edge("export", run / "best.keras", *flags, code=code).stderr
    assert not (run / "export").exists()


def test_auto_takes_int8_where_it_holds_and_a_temperature_is_fitted_on_validation_where_the_run_has_none(
    fer_edge: FerEdge, make_run: Callable[..., Path]
) -> None:
    report = json.loads(fer_edge("export", make_run(temperature=None), "--auto", "--json").stdout)

    assert [rung["recipe"] for rung in report["ladder"]] == [report["recipe"]] == ["int8"]
    assert report["temperature"] == 0.25  # every face is right: the colder the better


def test_keras_file_outside_a_run_is_exported_with_a_set_and_what_it_was_trained_on_is_not_stated(
    fer_edge: FerEdge, keras_file: Path, stripes: FaceSet, tmp_path: Path
) -> None:
    stripes.save(tmp_path / "set.npz")
    (tmp_path / "theirs.keras").write_bytes(keras_file.read_bytes())
    (tmp_path / "config.json").write_text('{"architectures": ["Net"]}')  # of others, which makes no run of it

    given = ["--data", tmp_path / "set.npz", *LABELS, "--pixels", "0..1", "--out", tmp_path / "out", "--int8"]
    fer_edge("export", tmp_path / "theirs.keras", *given, code=0)

    contract = read_model(tmp_path / "out" / "model_int8.tflite").contract
    assert (contract.network["name"], contract.data["training"]) == ("stripes", {})
    assert not (tmp_path / "out" / "seen.npz").exists()


def test_keras_file_alone_says_what_to_type(fer_edge: FerEdge, keras_file: Path) -> None:
    result = fer_edge("export", keras_file)

    assert result.code == 2
    assert f"type: fer-edge export {keras_file} --data SET.npz" in result.stderr


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("calibration.npz", "holds no calibration.npz; give another set: fer-edge export"),
        ("heldout.npz", "holds no heldout.npz"),
        ("config.json", "is not a run folder; create one: fer-edge train"),
        ("best.keras", "best.keras: no such file"),
    ],
)
def test_incomplete_run_folder_is_one_clear_line(
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


def test_held_out_faces_are_the_testing_ones_where_there_are_any(stripes: FaceSet) -> None:
    without = stripes.take(stripes.split != "testing")

    assert held_out(stripes, "majority")[0] == "testing"
    assert held_out(without, "majority")[0] == "validation"


def test_majority_protocol_leaves_out_faces_without_a_majority(stripes: FaceSet) -> None:
    agreed = stripes.agreed.copy()
    agreed[np.flatnonzero(stripes.split == "testing")[:4]] = False
    some = replace(stripes, agreed=agreed)

    assert len(held_out(some, "majority")[1]) == 26
    assert len(held_out(some, "all")[1]) == 30


def test_faces_that_fit_the_temperature_do_not_evaluate(stripes: FaceSet, capfd: pytest.CaptureFixture[str]) -> None:
    many = stripes.take(np.tile(np.flatnonzero(stripes.split != "training"), 10))
    many = replace(many, split=np.full(len(many), "validation"), group=np.arange(len(many)).astype(str))
    fitting, judged = fitting_faces(many, many, "validation", "majority")
    assert len(fitting) + len(judged) == len(many)
    assert not set(fitting.group.tolist()) & set(judged.group.tolist())
    assert f"{len(fitting)} validation faces fit the temperature, the others judge" in capfd.readouterr().err
    few = many.take(np.arange(20))
    fitting, judged = fitting_faces(few, few, "validation", "majority")
    assert (len(fitting), len(judged)) == (0, 20)


def other_stripes(stripes: FaceSet, **changed: object) -> FaceSet:
    """The same pictures as another data set, all of other photos."""
    source = {"name": "others", "digest": "7" * 64}
    return replace(stripes, **{"source": source, "photos": stripes.photos + np.uint64(500), **changed})


def test_int8_is_not_judged_on_faces_that_the_run_was_trained_on(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    other = np.roll(stripes.split, 3)  # what was training is validation now, and so on
    other_stripes(stripes, split=other, photos=stripes.photos).save(tmp_path / "again.npz")
    trained = other_stripes(stripes, split=np.where(stripes.split == "training", "testing", "training"))
    replace(trained, photos=stripes.photos).save(tmp_path / "trained.npz")
    run = make_run()

    result = fer_edge("export", run, "--data", tmp_path / "again.npz", "--json")
    refused = fer_edge("export", run, "--data", tmp_path / "trained.npz")

    assert json.loads(result.stdout)["comparison"]["n"] == 30  # of testing, which was validation
    assert "left out 30 held-out faces of" in result.stderr
    assert refused.code == 1
    assert "the network was trained on every held-out face of" in refused.stderr
    assert "leave out --data" in refused.stderr


def test_a_set_that_does_not_tell_its_photos_is_judged_on_with_a_warning(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    other_stripes(stripes, photos=np.zeros(0, np.uint64)).save(tmp_path / "old.npz")

    result = fer_edge("export", make_run(), "--data", tmp_path / "old.npz")

    assert result.code == 0, result.stderr
    assert "warning: cannot tell whether the network was trained on the held-out faces of" in result.stderr


def test_keras_file_in_a_run_folder_is_that_run(
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
def test_a_damaged_keras_file_is_one_line(
    fer_edge: FerEdge, make_run: Callable[..., Path], place: float, tmp_path: Path
) -> None:
    run = make_run()
    content = bytearray((run / "best.keras").read_bytes())
    content[int(place * len(content))] ^= 255
    (run / "best.keras").write_bytes(content)

    result = fer_edge("export", run)

    assert result.code == 1
    assert "best.keras: not a Keras model that can be read" in result.stderr
