"""What an optional package that is missing, or a backend that Keras cannot use, says."""

import pytest

from fer_edge.errors import FerEdgeError, needs


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (ModuleNotFoundError("No module named 'keras'", name="keras"), r"keras is not installed; .*\[train\]"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "type export KERAS_BACKEND=tensorflow"),
        (ValueError("Unable to import backend : mine"), "type export KERAS_BACKEND=tensorflow"),
    ],
)
def test_a_package_that_cannot_be_used_is_one_line_with_the_command(fault: Exception, message: str) -> None:
    with pytest.raises(FerEdgeError, match=message), needs("train"):
        raise fault


def test_other_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="another"), needs("train"):
        raise ValueError("another")
