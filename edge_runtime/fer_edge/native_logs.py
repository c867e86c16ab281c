"""Keep the start-up logs of TensorFlow and LiteRT off the terminal; for the commands' own processes only."""

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard what libraries write while a command imports or first loads them.

    TF_CPP_MIN_LOG_LEVEL does not suffice: TensorFlow and LiteRT write to file descriptor 2 from C++. The descriptors
    belong to the whole process, so only commands call this, before they start a thread: where there is another one,
    whose output would be lost, nothing is discarded. As a library, fer-edge never does this.
    """
    if threading.active_count() > 1:
        yield
        return
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            for descriptor, original in enumerate(saved, start=1):
                os.dup2(original, descriptor)
                os.close(original)
