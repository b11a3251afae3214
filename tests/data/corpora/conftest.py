"""The SWORD modules, fetched once for all tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bibleqa.data.corpora import sword
from bibleqa.data.corpora.debian import fetch_sword
from bibleqa.errors import ConfigError


@pytest.fixture(scope="session")
def sword_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three real modules: from Debian where apt is, else from a SWORD folder of the machine."""
    if not shutil.which("apt-get"):
        try:
            return sword.find(None)
        except ConfigError as error:
            pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("cache") / "sword"
    try:
        return fetch_sword(folder)
    except ConfigError:
        if os.geteuid() != 0:
            raise
        # A fresh container comes without package lists.
        subprocess.run(["apt-get", "update"], check=True, capture_output=True)
        return fetch_sword(folder)


@pytest.fixture
def damaged(sword_folder: Path, tmp_path: Path) -> Path:
    """A copy of the modules, to be damaged."""
    return shutil.copytree(sword_folder, tmp_path / "damaged")
