"""Every recipe of conf/experiment runs, cut to a handful of questions; prompts ask a scripted server."""

import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import fake_openai
import pytest
from fake_openai import MODEL, Asked, Server
from project import HOME, Project, end

from bibleqa.data.reader import read_items

RECIPES = sorted((HOME / "conf" / "experiment").glob("*.yaml"))
LONGEST = 300.0


@pytest.fixture(scope="module")
def server(built: Path) -> Iterator[Server]:
    """One that knows the text."""
    known = defaultdict(list)
    for item in (item for split in ("train", "val", "test") for item in read_items(built / f"{split}.jsonl")):
        known[item.question].append((item.context, item.answer))

    def answer(asked: Asked) -> str:
        return next((said for context, said in known.get(asked.question, []) if context in asked.text), "Seth")

    with fake_openai.running(answer) as server:
        yield server


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_opens_with_the_command_that_runs_it_and_what_it_costs(recipe: Path) -> None:
    package, command, *about = [line for line in recipe.read_text().splitlines() if line.startswith("#")]
    assert package == "# @package _global_"
    assert command.startswith(f"# python run.py experiment={recipe.stem}")
    assert re.search(r"minute|hour|LM calls", " ".join(about))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs(
    recipe: Path, tmp_path: Path, server: Server, built: Path, request: pytest.FixtureRequest
) -> None:
    shutil.copytree(built, tmp_path / "data" / "processed" / built.name)
    lm_studio = {"LM_STUDIO_API_URL": server.base_url, "LM_STUDIO_CHAT_MODEL": MODEL}
    project = Project(tmp_path, server.base_url, lm_studio)
    options = [f"experiment={recipe.stem}", "fast=true", "tracking=none"]
    match recipe.stem:
        case "smoke" | "lm_studio_night":
            pass
        case "distill_to_tiny":
            options += ["endpoint.threads=1", "dataset.max_val=2", "dataset.max_test=2", "endpoint@teacher=lm_studio"]
        case "prompts_and_weights":
            options += ["endpoint=embedded_tiny", "endpoint.threads=1", "dataset.max_val=2", "dataset.max_test=2"]
        case _:
            options += ["endpoint=lm_studio"]
    if recipe.stem == "scholar":
        options += [f"corpus.sword_path={request.getfixturevalue('sword_folder')}"]
        shutil.copy(request.getfixturevalue("sword_store"), tmp_path / "data" / "corpus.sqlite")

    finished = end(project.start_bare(*options), within=LONGEST)

    assert finished.code == 0, finished.out + finished.err
    runs = [*tmp_path.glob("outputs/2*/*/summary.json"), *tmp_path.glob("outputs/multirun/*/*/*/summary.json")]
    combinations = re.search(r"(\d+) of \d+ to run", finished.out)
    assert len(runs) == (int(combinations[1]) if combinations else 1)
