from pathlib import Path

import pytest

from fer_edge.errors import ModelError
from fer_edge.model.contract import read_model
from fer_edge.model.operators import BUILTIN, LONGEST_NAME, of_first_versions, operators, refuse_custom
from fer_edge.recognition.classifier import BUNDLED
from support.flatbuffers import with_custom


def test_operators_are_counted_in_the_order_of_their_first_use(tiny: Path) -> None:
    found = operators(read_model(tiny).flatbuffer)

    assert list(found.items()) == [
        ("QUANTIZE", 1),
        ("CONV_2D", 3),
        ("SHAPE", 1),
        ("STRIDED_SLICE", 1),
        ("PACK", 1),
        ("RESHAPE", 1),
        ("FULLY_CONNECTED", 1),
    ]


def test_the_tail_is_not_looked_at(tiny: Path) -> None:
    assert operators(tiny.read_bytes()) == operators(read_model(tiny).flatbuffer)


def test_the_names_are_the_schemas() -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="tflite-runtime ships no schema")

    numbered = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}

    shared = range(min(len(BUILTIN), len(numbered)))  # a newer runtime may know more
    assert [BUILTIN[number] for number in shared] == [numbered[number] for number in shared]
    assert len(BUILTIN) == 210


@pytest.mark.parametrize("name", ["FlexErf", "TFLite_Detection_PostProcess"])
def test_a_custom_operator_is_named_and_refused(tiny: Path, name: str) -> None:
    changed = with_custom(read_model(tiny).flatbuffer, name.encode())

    assert operators(changed)[f"custom:{name}"] == 1
    with pytest.raises(
        ModelError, match=rf"^a\.tflite: operators .*: '{name}'; replace their layers .* fer-edge export"
    ):
        refuse_custom("a.tflite", changed)


def test_a_name_as_long_as_a_book_is_not_read(tiny: Path) -> None:
    changed = with_custom(read_model(tiny).flatbuffer, b"x" * (LONGEST_NAME + 1))

    with pytest.raises(ModelError, match=r"its flatbuffer is damaged \(a name of 201 bytes\)"):
        operators(changed)


def test_tiny_and_bundled_models_are_not_refused(tiny: Path) -> None:
    for path in (tiny, BUNDLED):
        refuse_custom(path, read_model(path).flatbuffer)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 100, b"\x08\0\0\0TFL4"], ids=str)
def test_what_is_no_flatbuffer_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a TFLite model"):
        operators(content)


@pytest.mark.parametrize("place", range(0, 600, 7))
@pytest.mark.parametrize("byte", [0, 127, 255])
def test_offsets_that_lead_astray_are_refused_or_harmless(tiny: Path, place: int, byte: int) -> None:
    content = bytearray(read_model(tiny).flatbuffer)
    content[place] = byte

    try:
        found = operators(bytes(content))
    except ModelError:  # anything else is a fault of ours
        return
    assert sum(found.values()) <= len(content) / 4


@pytest.mark.parametrize("length", range(8, 11184, 500))
def test_a_flatbuffer_cut_short_is_refused(tiny: Path, length: int) -> None:
    with pytest.raises(ModelError, match="its flatbuffer is damaged"):
        operators(read_model(tiny).flatbuffer[:length])


def test_first_versions_are_asked_for_and_nothing_else_changes(tiny: Path) -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="tflite-runtime ships no schema")
    flatbuffer = read_model(tiny).flatbuffer

    changed = of_first_versions(flatbuffer)

    before, after = (schema.Model.GetRootAs(content, 0) for content in (flatbuffer, changed))
    codes = range(before.OperatorCodesLength())
    newer = [number for number in codes if before.OperatorCodes(number).Version() > 1]
    assert {after.OperatorCodes(number).Version() for number in codes} == {1}
    assert sum(old != new for old, new in zip(flatbuffer, changed, strict=True)) == len(newer) > 0


def test_a_damaged_flatbuffer_is_left_to_the_runtime(tiny: Path) -> None:
    damaged = read_model(tiny).flatbuffer[:200]

    assert of_first_versions(damaged) == damaged
