"""The compiled C header, and its arena size."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import ModelError
from fer_edge.model.contract import ModelFile, read_model
from fer_edge.model.operators import BUILTIN
from fer_edge.model.package import read_packed
from fer_edge.model.trial import load_runtime
from fer_edge.recognition.classifier import BUNDLED
from fer_edge_export.microcontroller.arena import arena_bytes, estimate, measure
from fer_edge_export.microcontroller.c_array import RESOLVER, c_float, c_header, c_string
from support.paths import TINY, TINY_FLOAT

STRICT = ("-Wall", "-Wextra", "-pedantic", "-Werror")

BYTES_OUT = """
#include "model.h"
#include <stdio.h>
int main(void) { return fwrite(fer_edge_model, 1, fer_edge_model_len, stdout) != sizeof fer_edge_model; }
"""
LABELS_OUT = """
#include "model.h"
#include <stdio.h>
int main(void) {
  for (int i = 0; i < FER_EDGE_LABEL_COUNT; ++i) printf("%s;", fer_edge_labels[i]);
  return 0;
}
"""
FACTS_OUT = """
#include "model.h"
#include <stdio.h>
int main(void) {
  printf("%d %d %d %d %.9g %d %.9g %d %g %g %g %d", FER_EDGE_INPUT_HEIGHT, FER_EDGE_INPUT_WIDTH,
         FER_EDGE_INPUT_CHANNELS, FER_EDGE_LABEL_COUNT, FER_EDGE_INPUT_SCALE, FER_EDGE_INPUT_ZERO_POINT,
         FER_EDGE_OUTPUT_SCALE, FER_EDGE_OUTPUT_ZERO_POINT, FER_EDGE_TEMPERATURE, FER_EDGE_UNCERTAIN_BELOW,
         FER_EDGE_CROP_SCALE, (int)((size_t)fer_edge_model % 16));
  return 0;
}
"""
OPERATORS_OUT = """
#include "model.h"
#include <cstdio>
struct Resolver {
  int count;
  void AddConv2D() { ++count; }
  void AddFullyConnected() { ++count; }
  void AddPack() { ++count; }
  void AddQuantize() { ++count; }
  void AddReshape() { ++count; }
  void AddShape() { ++count; }
  void AddStridedSlice() { ++count; }
};
int main() {
  Resolver resolver = {0};
  FER_EDGE_ADD_OPERATORS(resolver);
  std::printf("%d %d", resolver.count, FER_EDGE_OPERATOR_COUNT);
}
"""


@pytest.fixture
def model(tiny: Path) -> ModelFile:
    return read_model(tiny)


def run_program(header: str, program: str, standard: str, folder: Path) -> bytes:
    """Output of a C program that includes `header` as model.h."""
    compiler, suffix = ("c++", "cc") if "++" in standard else ("cc", "c")
    if shutil.which(compiler) is None:
        pytest.skip(f"needs a C compiler ({compiler}): apt-get install build-essential")
    (folder / "model.h").write_text(header)
    (folder / f"program.{suffix}").write_text(program)
    command = [compiler, f"-std={standard}", *STRICT, f"program.{suffix}", "-o", "program"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return subprocess.run([folder / "program"], capture_output=True, check=True).stdout


@pytest.mark.parametrize("standard", ["c99", "c11", "c++11", "c++17"])
def test_array_is_the_flatbuffer_byte_for_byte(model: ModelFile, standard: str, tmp_path: Path) -> None:
    assert run_program(c_header(model), BYTES_OUT, standard, tmp_path) == model.flatbuffer


@pytest.mark.parametrize("standard", ["c99", "c++11"])
def test_constants_are_those_of_the_contract_and_the_array_is_aligned(
    model: ModelFile, standard: str, tmp_path: Path
) -> None:
    contract = replace(model.contract, temperature=0.7307, crop_scale=1.25)

    printed = run_program(c_header(replace(model, contract=contract)), FACTS_OUT, standard, tmp_path)

    assert printed == b"32 32 1 8 0.00392156886 0 0.188188612 21 0.7307 0.4 1.25 0"


def test_resolver_gets_exactly_the_operators_of_the_model(model: ModelFile, tmp_path: Path) -> None:
    assert run_program(c_header(model), OPERATORS_OUT, "c++11", tmp_path) == b"7 7"


def test_header_may_be_included_twice(model: ModelFile, tmp_path: Path) -> None:
    program = BYTES_OUT.replace('#include "model.h"', '#include "model.h"\n#include "model.h"')

    assert run_program(c_header(model), program, "c99", tmp_path) == model.flatbuffer


@pytest.mark.parametrize("standard", ["c99", "c++11"])
def test_any_class_name_becomes_a_valid_c_string(model: ModelFile, standard: str, tmp_path: Path) -> None:
    labels = ('he said "hi"', "back\\slash", "what??/", "Überraschung 3", "喜び", "*/", "%s", "a\tb")
    contract = replace(model.contract, labels=labels)

    printed = run_program(c_header(replace(model, contract=contract)), LABELS_OUT, standard, tmp_path)

    assert printed.decode() == "".join(f"{label};" for label in labels)


def test_any_file_name_is_escaped_in_the_comment(model: ModelFile, tmp_path: Path) -> None:
    header = c_header(replace(model, path=Path("odd\nname\\")))

    assert header.startswith('// "odd\\012name\\134" for TensorFlow Lite Micro')
    assert run_program(header, BYTES_OUT, "c99", tmp_path) == model.flatbuffer


def test_the_same_model_gives_the_same_header(model: ModelFile) -> None:
    assert c_header(model) == c_header(model)


def test_float_model_is_rejected_with_the_command() -> None:
    with pytest.raises(ModelError, match=r"input FLOAT32, output FLOAT32 .* export RUN --recipe int8 --c-array"):
        c_header(read_model(TINY_FLOAT))


def test_operator_missing_in_tflm_is_rejected_by_name(model: ModelFile, enlarging: bytes) -> None:
    with pytest.raises(ModelError, match="TensorFlow Lite Micro has no TILE; leave out --c-array"):
        c_header(replace(model, flatbuffer=enlarging))


def test_resolver_knows_operators_of_tflite_by_their_names() -> None:
    assert set(RESOLVER) <= {name.replace("_", "").lower() for name in BUILTIN}
    assert RESOLVER["depthwiseconv2d"] == "AddDepthwiseConv2D"


@pytest.mark.parametrize(("value", "text"), [(1.0, "1.0f"), (1e-12, "1e-12f"), (-0.5, "-0.5f"), (300.0, "300.0f")])
def test_floats_are_floats_in_c(value: float, text: str) -> None:
    assert c_float(value) == text


def test_scale_is_formatted_without_loss() -> None:
    scale = float(np.float32(1 / 255))

    assert np.float32(c_float(scale)[:-1]) == np.float32(scale)


def test_quotes_and_question_marks_are_octal() -> None:
    assert c_string('say "é"?') == r'"say \042\303\251\042\077"'


@pytest.mark.parametrize(("path", "measured"), [(BUNDLED, 69440), (TINY, 5888)])
def test_estimate_is_slightly_above_the_measured_arena(path: Path, measured: int) -> None:
    # measured with tflite-micro 0.dev20261023182759 on x86-64
    assert measured <= estimate(read_packed(path).flatbuffer) <= 1.11 * measured


def test_estimate_is_the_largest_sum_of_live_activations_and_tflms_structures() -> None:
    # the second convolution, 48x48x16 in and 24x24x32 out, and a block with shortcut, three times 24x24x32:
    # both are 55,296; plus 54 tensors, 1,080 channels with their own scale, 22 operators
    assert estimate(read_packed(BUNDLED).flatbuffer) == 55_296 + 24 * 54 + 8 * 1080 + 224 * 22 + 512


def test_without_tflite_micro_the_arena_is_estimated(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert arena_bytes(model.flatbuffer).how == "estimated; to measure it: pip install tflite-micro"
    assert "// Arena: estimated" in c_header(model)
    assert "#define FER_EDGE_ARENA_BYTES 6496\n" in c_header(model)


def needs_tflite_micro() -> None:
    pytest.importorskip("tflite_micro", reason="needs tflite-micro: pip install tflite-micro")


def test_tflm_measures_the_arena(model: ModelFile) -> None:
    needs_tflite_micro()

    assert measure(model.flatbuffer) <= estimate(model.flatbuffer) <= 1.11 * measure(model.flatbuffer)
    assert arena_bytes(model.flatbuffer).how.startswith("measured with tflite-micro ")


def test_an_error_of_tflm_is_reported(enlarging: bytes) -> None:
    needs_tflite_micro()

    with pytest.raises(ModelError, match=r"TensorFlow Lite Micro cannot run the model: .*TILE"):
        measure(enlarging)


@pytest.mark.parametrize("path", [BUNDLED, TINY])
def test_tflm_and_litert_agree_in_the_arena_of_the_header(path: Path) -> None:
    needs_tflite_micro()
    from tflite_micro import runtime

    model = read_model(path)
    header = c_header(model)
    array = header[header.index("fer_edge_model[] = {") : header.index("};\nstatic const unsigned int")]
    arena = re.search(r"FER_EDGE_ARENA_BYTES (\d+)", header)
    assert arena is not None
    content = bytes(int(byte, 16) for byte in re.findall(r"0x(..),", array))
    micro = runtime.Interpreter.from_bytes(content, arena_size=int(arena[1]))
    _, litert = load_runtime()
    kernels = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    lite = litert.Interpreter(model_content=model.flatbuffer, experimental_op_resolver_type=kernels)
    lite.allocate_tensors()
    for pixels in model.golden.pixels:
        picture = np.ascontiguousarray(pixels[None, :, :, None])
        micro.set_input(picture, 0)
        micro.invoke()
        lite.set_tensor(lite.get_input_details()[0]["index"], picture)
        lite.invoke()
        reference = lite.get_tensor(lite.get_output_details()[0]["index"]).astype(int)
        assert np.abs(micro.get_output(0).astype(int) - reference).max() <= 1  # quantisation steps; measured: 1 and 0
