"""What tests of all parts share."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from bibleqa.data.corpora import sword
from bibleqa.data.corpora.debian import fetch_sword
from bibleqa.errors import ConfigError

# Machines differ in speed, and a project folder that many examples share does no harm.
settings.register_profile("bibleqa", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("bibleqa")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder; the settings of whoever runs the tests do not reach it."""
    monkeypatch.setenv("BIBLEQA_PROJECT", str(tmp_path))
    for name in ("LM_STUDIO_API_URL", "LM_STUDIO_CHAT_MODEL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def sword_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three real modules: from Debian where apt is, fetched by one worker for all, else from the machine's own."""
    if not shutil.which("apt-get"):
        try:
            return sword.find(None)
        except ConfigError as error:
            pytest.skip(str(error))
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = tmp_path_factory.getbasetemp().parent / f"sword-{run}"
    with FileLock(folder.with_suffix(".lock")):
        try:
            return fetch_sword(folder)
        except ConfigError:
            if os.geteuid() != 0:
                raise
            # A fresh container comes without package lists.
            subprocess.run(["apt-get", "update"], check=True, capture_output=True)
            return fetch_sword(folder)
