"""Two processes that make the same store and dataset at the same time."""

from pathlib import Path

import fake_openai
import pytest
from kills import LONGEST, bibleqa, results, unreadable
from project import end
from test_experiment import know_all, project_at


@pytest.mark.slow
def test_two_builds_at_once_make_one_store_and_one_dataset(tmp_path: Path) -> None:
    with fake_openai.running(know_all) as server:
        project = project_at(tmp_path / "project", server)
        # Where no SWORD modules are, the store is soon built.
        project.variables = {**project.variables, "BIBLEQA_CACHE": str(tmp_path / "cache")}
        begun = [bibleqa(project, "data", "build", "dataset=kjv") for _ in range(2)]
        ended = [end(process, LONGEST) for process in begun]

    assert [finished.code for finished in ended] == [0, 0], ended
    assert sorted("corpus built" in finished.out for finished in ended) == [False, True], "one waited for the other"
    assert unreadable(project.root) == []
    assert {"corpus.sqlite", "train.jsonl", "manifest.json"} <= results(project).keys()
    assert not list((project.root / "data").rglob("*.draft*"))
