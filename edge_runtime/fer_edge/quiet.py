"""Keep TensorFlow's chatter away from people and, above all, from the JSON on stdout."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send everything that this process writes inside the block to a file that is thrown away.

    TF_CPP_MIN_LOG_LEVEL does not suffice: Keras prints "Saved artifact at ..." on stdout from Python, the converter
    writes to file descriptor 2 from C++ before its log level is read, and warnings take a third way. So the two file
    descriptors themselves are turned away, and turned back however the block ends.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+", errors="replace") as noise:
        kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(noise.fileno(), 1)
            os.dup2(noise.fileno(), 2)
            # Who replaced sys.stdout (pytest, typer's CliRunner) is not reached by the descriptors.
            with contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            noise.flush()
            for descriptor, original in enumerate(kept, start=1):
                os.dup2(original, descriptor)
                os.close(original)
