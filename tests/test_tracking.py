"""The record of a run in MLflow, on SQLite."""

from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from bibleqa import config, tracking
from bibleqa.runs import RunFolder
from bibleqa.tracking import TrackerDown

ENDED = {
    "schema": 1,
    "status": "finished",
    "run_id": None,
    "fingerprint": "f1",
    "dataset_digest": "d1",
    "slice": {"train": 1, "val": 1, "test": 1},
    "baseline": {"score": 0.5},
    "git": {},
}


def test_a_tracker_that_fails_in_the_middle_leaves_nothing_half_and_can_be_asked_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "outputs" / "run"
    path.mkdir(parents=True)
    folder = RunFolder(path)
    composed = config.compose()
    folder.write("config.yaml", config.to_yaml(composed))

    def breaks(*_: Any, **__: Any) -> None:
        raise MlflowException("gone")

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "set_terminated", breaks)
        with pytest.raises(TrackerDown, match="gone"):
            tracking.record(folder, lambda run_id: {**ENDED, "run_id": run_id}, composed.tracking)

    assert folder.read_json("summary.json")["run_id"] is None
    assert tracking.count_runs(composed.tracking) == 0
    assert tracking.track(path)["run_id"]
    assert tracking.count_runs(composed.tracking) == 1
