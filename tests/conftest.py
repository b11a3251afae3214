"""What tests of all parts share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
