"""What sharing saves: LM calls and tokens of the first sweep, with and without what its runs have in common.

    python benchmarks/cost.py

`experiment=first_sweep`, eight runs, asks the scripted server of the tests, which knows one answer in three. The same
runs are made once more, each in a project of its own, in which no answer is known from another run.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from figures import Figure, show, spent
from runs import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import fake_openai
from fake_openai import Asked
from project import Folder, Project

RUN = [sys.executable, str(ROOT / "run.py")]


def main() -> None:
    """The sweep, the same command again, and each of its runs alone."""
    with fake_openai.running(knows_a_third) as server, tempfile.TemporaryDirectory() as folder:
        model = [f"endpoint.base_url={server.base_url}", f"endpoint.model={fake_openai.MODEL}", "tracking=none"]
        project = Project(Path(folder), server.base_url)
        sweep = [*RUN, "experiment=first_sweep", "endpoint=openai", *model]
        spent(sweep, project.environment())
        shared = [run.summary for run in folders(project)]
        asked = len(server.questions)
        spent(sweep, project.environment())
        again = len(server.questions) - asked
        alone = [only(["endpoint=openai", *model, *overrides], project) for overrides in jobs()]
    show(__file__, figures(shared, alone, again))


def knows_a_third(asked: Asked) -> str:
    """A model whose answer is a word of the context, and always the same."""
    words = asked.text.partition("[[ ## context ## ]]")[2].split()
    drawn = int(sha256(asked.question.encode()).hexdigest(), 16)
    return words[drawn % len(words)].strip("[].,:;") if words else "unknown"


def folders(project: Project) -> list[Folder]:
    """The runs of the project's sweep."""
    return [Folder(path.parent) for path in project.root.glob("outputs/multirun/*/*/*/summary.json")]


def jobs() -> list[list[str]]:
    """The overrides of each run of the sweep."""
    recipe = yaml.safe_load((ROOT / "conf" / "experiment" / "first_sweep.yaml").read_text(encoding="utf-8"))
    swept = recipe.pop("hydra")["sweeper"]["params"]
    same = [f"{group}.{key}={value}" for group, keys in recipe.items() for key, value in keys.items()]
    choices = product(*([f"{group}={option}" for option in options.split(",")] for group, options in swept.items()))
    return [[*same, *choice] for choice in choices]


def only(overrides: list[str], other: Project) -> dict[str, Any]:
    """The summary of a run that has the dataset of another project, and none of its answers."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), other.base_url)
        shutil.copytree(other.root / "data", project.root / "data")
        spent([*RUN, *overrides], project.environment())
        return project.last.summary


def figures(shared: list[dict[str, Any]], alone: list[dict[str, Any]], again: int) -> list[Figure]:
    """LM calls and tokens that were paid for."""
    unshared = asked(alone, "calls"), asked(alone, "input_tokens", "output_tokens", *CACHED)
    runs_alone = paid(alone), asked(alone, "input_tokens", "output_tokens")
    together = paid(shared), asked(shared, "input_tokens", "output_tokens")
    rows = {"nothing kept": unshared, "each run keeps its own answers": runs_alone, "the sweep": together}
    found = []
    for name, (calls, tokens) in rows.items():
        beside = f"{calls / unshared[0]:.0%} of the calls, {tokens / unshared[1]:.0%} of the tokens"
        found += [Figure(f"{name}: LM calls", calls, "", beside), Figure(f"{name}: tokens", tokens, "")]
    return [*found, Figure("the same command again: LM calls", again, "", "", 1)]


CACHED = ("cached_input_tokens", "cached_output_tokens")


def asked(summaries: Iterable[dict[str, Any]], *keys: str) -> int:
    """The sum of what summaries say of their language model."""
    return sum(summary["lm"][key] for summary in summaries for key in keys)


def paid(summaries: list[dict[str, Any]]) -> int:
    """LM calls that went out."""
    return asked(summaries, "calls") - asked(summaries, "cached_calls")


if __name__ == "__main__":
    main()
