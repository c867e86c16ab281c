from dataclasses import replace
from pathlib import Path

import pytest

from fer_edge.errors import ModelError
from fer_edge.model.contract import read_model
from fer_edge.model.interpreter import Network


@pytest.mark.parametrize(("place", "byte"), [(6612, 12), (11033, 209)], ids=["segmentation fault", "division by zero"])
def test_flatbuffer_on_which_litert_crashes_is_refused(tiny: Path, place: int, byte: int) -> None:
    model = read_model(tiny)
    content = bytearray(model.flatbuffer)
    content[place] = byte
    with pytest.raises(ModelError, match=r"tiny\.tflite: \w+ cannot run it: it crashes, or needs over 10 s"):
        Network(replace(model, flatbuffer=bytes(content)), reference=True)
    Network(model, reference=True)  # its file is not blamed
