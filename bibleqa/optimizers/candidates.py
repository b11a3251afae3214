"""What an optimizer tried, as it says itself: every program, in the order tried, with the score that it took."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dspy

from bibleqa import program as programs


@dataclass
class Candidate:
    """A program that was tried."""

    name: str
    program: dspy.Module
    score: float | None = None
    """What the optimizer measured, 0 to 1, or None where it took no score."""
    scored_on: str | None = None
    """Where: val, train, or a minibatch of them."""
    val: float | None = None
    """Mean score on all of val, for those that were compared in the end."""

    def to_dict(self) -> dict[str, Any]:
        """As candidates.json has it."""
        return {
            "name": self.name,
            "score": self.score,
            "scored_on": self.scored_on,
            "val": self.val,
            "program": programs.dump(self.program),
        }


def of_random_search(compiled: dspy.Module) -> Iterator[Candidate]:
    """BootstrapFewShotWithRandomSearch: the best first; `seed` tells the order."""
    names = {-3: "zero_shot", -2: "labeled", -1: "bootstrap"}
    for tried in sorted(compiled.candidate_programs, key=lambda tried: tried["seed"]):
        name = names.get(tried["seed"], f"random_{tried['seed']}")
        yield Candidate(name, tried["program"], tried["score"] / 100, "val")


def of_copro(compiled: dspy.Module) -> Iterator[Candidate]:
    """COPRO: those of every depth."""
    for number, tried in enumerate(sorted(compiled.candidate_programs, key=lambda tried: tried["depth"])):
        yield Candidate(f"depth_{tried['depth']}_{number}", tried["program"], tried["score"] / 100, "train")


def of_mipro(compiled: dspy.Module) -> Iterator[Candidate]:
    """MIPROv2: a trial each, and the full measurements between the trials on minibatches."""
    for number, trial in sorted(compiled.trial_logs.items()):
        if "full_eval_program" in trial:
            yield Candidate(f"trial_{number}", trial["full_eval_program"], trial["full_eval_score"] / 100, "val")
        elif "mb_program" in trial:
            yield Candidate(f"trial_{number}", trial["mb_program"], trial["mb_score"] / 100, "minibatch of val")


def of_gepa(compiled: dspy.Module) -> Iterator[Candidate]:
    """GEPA: in the order of their making."""
    results = compiled.detailed_results
    for number, (program, score) in enumerate(zip(results.candidates, results.val_aggregate_scores, strict=True)):
        yield Candidate(f"generation_{number}", program, float(score), "val")


def of_simba(compiled: dspy.Module) -> Iterator[Candidate]:
    """SIMBA: the winners of its steps, the best first, as it keeps no order."""
    for number, tried in enumerate(compiled.candidate_programs):
        yield Candidate(f"winner_{number}", tried["program"], float(tried["score"]), "train")


def of_better_together(compiled: dspy.Module) -> Iterator[Candidate]:
    """BetterTogether: the program that it was given, and what each step made of it."""
    for step in sorted(compiled.candidate_programs, key=lambda step: len(step["strategy"])):
        yield Candidate(step["strategy"] or "given", step["program"], step["score"] / 100, "val")
