"""Suppress the logs of TensorFlow and LiteRT, which would otherwise break the JSON on stdout."""

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

_LOCK = threading.RLock()
"""File descriptors belong to the process: of two threads, one would restore what the other redirected."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard everything that this process writes within the block; meant for loading and converting only.

    TF_CPP_MIN_LOG_LEVEL is not enough: Keras prints "Saved artifact at ..." from Python, converter and interpreter
    write to file descriptor 2 from C++, and there are Python warnings. So both descriptors are redirected, for all
    threads, and restored on exit.
    """
    with _LOCK, Path(os.devnull).open("w") as devnull:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(devnull.fileno(), 1)
            os.dup2(devnull.fileno(), 2)
            # A replaced sys.stdout (pytest, typer's CliRunner) does not write to the descriptors.
            with contextlib.redirect_stdout(devnull), contextlib.redirect_stderr(devnull), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            for descriptor, original in enumerate(saved, start=1):
                os.dup2(original, descriptor)
                os.close(original)
