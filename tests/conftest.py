"""What several tests stand on."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """Folder with the real photos and YuNet; a clone outside the workplace has none."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real photos and YuNet), which is not part of the repository")
    return SHARED
