"""What tests of the readers share."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def damaged(sword_folder: Path, tmp_path: Path) -> Path:
    """A copy of the modules, to be damaged."""
    return shutil.copytree(sword_folder, tmp_path / "damaged")
