"""Every answer is as the OpenAPI document has it, whatever is asked."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from served import Scripted, listening

SECONDS = 45


@pytest.mark.slow
def test_schemathesis_finds_nothing(project: Path, small_store: Path) -> None:
    (project / "data").mkdir()
    shutil.copy(small_store, project / "data" / "corpus.sqlite")
    with listening(project, Scripted()) as (address, _):
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
                *("--seed", "1", "--max-time", str(SECONDS), "--max-examples", "60", "--warnings", "off"),
            ],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=10 * SECONDS,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
