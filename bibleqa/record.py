"""What a run has so far, and how it ends: with a summary on disk and in MLflow, whatever happens."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from dspy.utils.saving import get_dependency_versions

from bibleqa import config as configs
from bibleqa import evaluation, metrics, provenance, report, runs, tracking, trials, verdict
from bibleqa import program as programs
from bibleqa.budget import Budget
from bibleqa.data.slices import Dataset
from bibleqa.errors import GO_ON, BibleQAError, ConfigError, EndpointUnusable, RunFailed
from bibleqa.evaluation import Outcome
from bibleqa.lm import embedded
from bibleqa.lm.meter import Meter
from bibleqa.optimizers import Optimized
from bibleqa.runs import RunFolder
from bibleqa.schema import Config, JudgeConfig

log = logging.getLogger(__name__)


class Clock:
    """Seconds of each part of a run."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._parts: dict[str, float] = dict.fromkeys(("load", "baseline", "optimize", "evaluate", "record"), 0.0)
        self._current: tuple[str, float] | None = None

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time what is done inside as that part of the run."""
        self._current = part, time.perf_counter()
        try:
            yield
        finally:
            self._parts = self._so_far()
            self._current = None

    def seconds(self) -> dict[str, float]:
        """By part, the one under way up to now, and in total."""
        parts = {**self._so_far(), "total": time.perf_counter() - self._begun}
        return {name: round(seconds, 3) for name, seconds in parts.items()}

    def _so_far(self) -> dict[str, float]:
        if self._current is None:
            return self._parts
        part, begun = self._current
        return {**self._parts, part: self._parts[part] + time.perf_counter() - begun}


class Record:
    """One run's results. As a context manager it ends the run: summary, MLflow, and the last words on the screen."""

    def __init__(
        self, config: Config, dataset: Dataset, fingerprint: str, folder: RunFolder, clock: Clock, budget: Budget
    ):
        """Begin the run: from now on its folder stays."""
        self._past = RunFolder(Path(config.reproduce.run)) if config.reproduce.run else None
        self.meter = Meter()
        self.baseline: list[Outcome] = []
        self.optimized: list[Outcome] = []
        self._optimizer: Optimized | None = None
        self._config = config
        self._dataset = dataset
        self._fingerprint = fingerprint
        self._folder = folder
        self._clock = clock
        self._budget = budget
        if (folder.path / "predictions.jsonl").exists() or (folder.path / "summary.json").exists():
            raise ConfigError(
                f"{folder.path}: another run is in this folder; leave hydra.run.dir out, or name a new one"
            )
        folder.write("config.yaml", configs.to_yaml(config))

    @contextmanager
    def phase(self, name: str, questions: int) -> Iterator[Callable[[Outcome], None]]:
        """Time a phase and show how it goes; gives what to call with each outcome as it comes."""
        part = "evaluate" if name == "optimized" else name
        so_far = {"baseline": self.baseline, "optimized": self.optimized}[name]
        with self._clock(part), report.progress(name, questions) as show:

            def keep(outcome: Outcome) -> None:
                self._folder.append("predictions.jsonl", outcome.to_json())
                so_far.append(outcome)
                show(outcome)

            yield keep

    @contextmanager
    def optimizing(self) -> Iterator[Callable[[str], None]]:
        """Time the optimizer and show how it goes; gives what to call with what is being done."""
        with self._clock("optimize"), report.working("optimize", self.meter) as show:

            def tell(note: str) -> None:
                log.info("%s", note)
                show(note)

            yield tell

    def keep_program(self, optimized: Optimized) -> None:
        """Write program.json and candidates.json, the picture of their scores, and the weights that were tuned."""
        self._optimizer = optimized
        about = {
            "program": self._config.program.name,
            "adapter": self._config.adapter.name,
            "endpoint": self._config.endpoint.name,
            "dataset_digest": self._dataset.digest,
        }
        # As DSPy's own `save` has it: without, its `load` refuses the file.
        metadata = {"dependency_versions": get_dependency_versions()}
        state = programs.dump(optimized.program)
        self._folder.write_json("program.json", {**state, "metadata": metadata, "bibleqa": about})
        self._folder.write_json("candidates.json", [candidate.to_dict() for candidate in optimized.candidates])
        if optimized.candidates:
            trials.draw(optimized.candidates, self._folder.path / "candidates.png")
        if tuned := optimized.tuned_at_all:
            with runs.replacing(self._folder.path / "adapter.gguf") as draft:
                shutil.copyfile(tuned.adapter, draft)
            self._folder.write_json("adapter.json", tuned.manifest)

    def repeat_baseline(self, keep: Callable[[Outcome], None]) -> list[Outcome]:
        """The same program gives the same answers: they stand again as the optimized ones, and cost nothing."""
        repeated = [outcome.repeated_in("optimized") for outcome in self.baseline]
        for outcome in repeated:
            keep(outcome)
        return repeated

    def refuse_errors(self, outcomes: list[Outcome], asked: int) -> None:
        """Stop a run whose endpoint failed: a score over the questions left would be the score of something else.

        Raises:
            EndpointUnusable: It failed so often that the rest was not asked.
            RunFailed: It failed on some questions.
        """
        errors = [outcome.error for outcome in outcomes if outcome.error]
        if errors:
            last = f"{errors[-1]['class']}: {' '.join(errors[-1]['message'].split())[:200]}"
            raise (EndpointUnusable if len(outcomes) < asked else RunFailed)(
                f"the endpoint failed on {len(errors)} of {len(outcomes)} questions, the last with {last}. {GO_ON}"
            )

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if failure is not None:
            log.error("the run failed", exc_info=failure)
        try:
            with self._clock("record"):
                summary = tracking.record(
                    self._folder, lambda run_id: self._summary(run_id, failure), self._config.tracking
                )
        except tracking.TrackerDown as error:
            report.warn(f"{error}. The run folder is complete; record it later: bibleqa track {self._folder.path}")
            summary = self._folder.read_json("summary.json")
        if failure is not None:
            report.failed(self._folder, summary, self._dataset)
            if isinstance(failure, Exception) and not isinstance(failure, BibleQAError):
                raise RunFailed(
                    f"{type(failure).__name__}: {' '.join(str(failure).split())[:300]} "
                    f"(traceback in {self._folder.path / 'run.log'})"
                ) from failure
            return
        report.result(self._folder, summary, self._config, self.optimized, self._dataset)
        if self._config.reproduce.mode == "replay" and not summary["reproduction"]["identical"]:
            raise RunFailed("the replay is not identical to the recorded run; see above")
        if errors := summary["optimizer_errors"]:
            raise RunFailed(
                f"the optimizer failed inside, the scores above are of what it gave back: {'; '.join(errors)}"
            )

    def _summary(self, run_id: str | None, failure: BaseException | None) -> dict[str, Any]:
        errors = self._optimizer.errors if self._optimizer else []
        optimized = evaluation.scores(self.optimized)
        reached = optimized["score"] is not None and optimized["score"] >= self._config.target_accuracy
        splits = {name: len(items) for name, items in self._dataset.splits.items()}
        made = {
            "program_digest": programs.digest(self._optimizer.program) if self._optimizer else None,
            "git": provenance.git_state(),
            "made_of": {"code": provenance.code_digest(), "models": embedded.digests(self._config)},
            "versions": provenance.versions(),
        }
        return {
            "schema": runs.SCHEMA,
            "status": "failed" if failure is not None or errors else "finished",
            "failure": None if failure is None else (str(failure) or type(failure).__name__),
            "run_id": run_id,
            "fingerprint": self._fingerprint,
            "reproduced_from": self._config.reproduce.run,
            "dataset_digest": self._dataset.digest,
            "slice": {**splits, "anchors": self._dataset.anchors},
            "baseline": evaluation.scores(self.baseline),
            "optimized": optimized,
            "improvement": evaluation.improvement(self.baseline, self.optimized),
            "target": {"score": self._config.target_accuracy, "reached": reached},
            "val": self._on_val(),
            "assertions": evaluation.pass_rates(self.optimized),
            "attempts": {
                "baseline": evaluation.attempts(self.baseline),
                "optimized": evaluation.attempts(self.optimized),
            },
            "lm": {**self.meter.usage.to_dict(), "cost": round(self._budget.cost, 6)},
            "seconds": self._clock.seconds(),
            "optimizer_errors": errors,
            **self._judged(),
            **self._retrieved(),
            "weights": tuned.manifest["sha256"] if self._optimizer and (tuned := self._optimizer.tuned) else None,
            "unchanged": self._optimizer.unchanged if self._optimizer else None,
            **made,
            "reproduction": verdict.of(self._past, self._config, [*self.baseline, *self.optimized], made)
            if self._past
            else None,
        }

    def _retrieved(self) -> dict[str, Any]:
        """How good the verses were that the program found, where it finds any; the same before and after."""
        if not self._config.program.retrieves:
            return {}
        asked = self.baseline or self.optimized
        return {"retrieval": evaluation.recall(asked, self._dataset.test, self._config.retriever.k)}

    def _judged(self) -> dict[str, Any]:
        """How far a judge agrees with the theological metric on the hand-written questions, where one has judged."""
        if not isinstance(self._config.metric, JudgeConfig):
            return {}
        testset = [programs.example(item) for item in self._dataset.test]
        return {
            "agreement": {
                phase: evaluation.agreement(outcomes, testset, metrics.theological())
                for phase, outcomes in (("baseline", self.baseline), ("optimized", self.optimized))
            }
        }

    def _on_val(self) -> dict[str, float | None] | None:
        """What the choice of the program rests on: the baseline's mean score on val, and that of the one chosen."""
        if not self._optimizer or not self._optimizer.candidates:
            return None
        baseline, *tried = self._optimizer.candidates
        chosen = [one.val for one in [baseline, *tried] if one.program is self._optimizer.program]
        return {"baseline": baseline.val, "optimized": chosen[0]}
