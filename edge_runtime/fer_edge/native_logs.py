"""Keep the logs of TensorFlow and LiteRT off the terminal and, above all, out of the JSON on stdout."""

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

_ONE_AT_A_TIME = threading.RLock()
"""The descriptors are the whole process's: of two threads, one would put back what the other had turned away."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Throw away everything that this process writes inside the block; meant for loading and converting only.

    TF_CPP_MIN_LOG_LEVEL does not suffice: Keras prints "Saved artifact at ..." on stdout from Python, converter and
    interpreter write to file descriptor 2 from C++, and warnings take a third way. So the two file descriptors
    themselves are turned away, and turned back however the block ends. Other threads are silent for as long, and wait
    for one another here.
    """
    with _ONE_AT_A_TIME, Path(os.devnull).open("w") as nowhere:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            # Who replaced sys.stdout (pytest, typer's CliRunner) is not reached by the descriptors.
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            for descriptor, original in enumerate(kept, start=1):
                os.dup2(original, descriptor)
                os.close(original)
