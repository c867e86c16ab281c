"""Settings from a TOML file, by the names of their flags."""

import re
from pathlib import Path

import pytest

from fer_edge.commands.flags_file import read_flags_file
from fer_edge.errors import UsageError
from fer_edge.settings import RunSettings


def test_flags_of_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('source = "0"\nsize = "320x240"\ndetect-every = 2\nmirror = true\nmin_face = 30\nthreads = 2\n')
    settings = read_flags_file(path, RunSettings())
    assert (settings.source, settings.view.size, settings.view.mirror) == ("0", (320, 240), True)
    assert (settings.tracking.detect_every, settings.tracking.min_face, settings.threads) == (2, 30, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source", "Expected '=' after a key"),
        ('sorce = "0"', "no flag 'sorce'; did you mean 'source'? see: fer-edge run --help"),
        ('detector = "best"', "detector must be auto or int8 or float16 or none, not 'best'"),
        ("detect-every = 0", "detect-every must be at least 1, not 0"),
    ],
)
def test_bad_toml_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(content)
    with pytest.raises(UsageError, match=re.escape(message)):
        read_flags_file(tmp_path / "run.toml", RunSettings())
