"""One run from start to end: measure, optimize, measure again, record."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dspy

from bibleqa import (
    adapters,
    assertions,
    checks,
    formats,
    jobs,
    metrics,
    optimizer_limits,
    optimizers,
    report,
    runs,
    schema,
)
from bibleqa import program as programs
from bibleqa.budget import Budget, within
from bibleqa.errors import Stopped
from bibleqa.evaluation import Evaluator
from bibleqa.jobs import Job
from bibleqa.lm import answers, endpoints, health
from bibleqa.lm.answers import Archive, Source
from bibleqa.lm.meter import Meter
from bibleqa.record import Clock, Record
from bibleqa.runs import RunFolder
from bibleqa.schema import Config, LimitsConfig


def run(config: Config, path: Path) -> None:
    """Run one experiment in a folder that Hydra has made, or show the finished run that is equal to it.

    Raises:
        ConfigError: Something in config or data is wrong; nothing was spent.
        EndpointUnusable: A model cannot be reached; likewise.
        RunFailed: The run began and could not finish; what it has done is in the folder.
    """
    clock = Clock()
    with clock("load"):
        job = jobs.identify(formats.settled(config))
        _dspy_logs_to_file()
    with runs.alone(job.fingerprint, wait=report.waiting):
        anew = config.rerun or config.reproduce.run
        if not anew and (earlier := runs.find_finished(job.fingerprint)):
            report.earlier(earlier)
        else:
            _run(job, path, clock)


def _run(job: Job, path: Path, clock: Clock) -> None:
    config, dataset = job.config, job.dataset
    replayed = config.reproduce.mode == "replay"
    budget = Budget(config.limits)
    with clock("load"):
        source = Source(
            again=job.fingerprint if config.rerun else None,
            recorded=Path(config.reproduce.run) if replayed and config.reproduce.run else None,
            archive=Archive(path / "answers.jsonl"),
            budget=budget,
            tell=report.waiting_for_endpoint,
        )
        program = assertions.enforce(programs.of_config(config, source), config.assertions, config.plugins)
        endpoints.unload_others(schema.endpoints(config).values())
        lm = endpoints.connect(config.endpoint, source)
        teacher = endpoints.connect(config.teacher, source) if config.teacher else None
        metric = metrics.build(config, source)
        program.set_lm(lm)
        report.plan(config, dataset, path)
        if not replayed:
            _probe(config, lm, teacher, metric)

    settings = {"lm": lm, "adapter": adapters.build(config.adapter)}
    workers = config.endpoint.at_once
    trainset, valset, testset = ([programs.example(item) for item in split] for split in dataset.splits.values())
    # Now, before anybody changes the file; and all of them only where they are wanted.
    pool = list(map(programs.example, dataset.pool)) if optimizer_limits.tunes_weights(config.optimizer) else []

    record = Record(config, dataset, job.fingerprint, RunFolder(path), clock, budget)
    evaluator = Evaluator(metric, settings, record.meter, workers)
    with record, _stopping(config.limits, clock):
        if config.reproduce.mode == "evaluate":
            optimized = optimizers.Optimized(programs.of_run(program, Path(str(config.reproduce.run)), lm))
        else:
            with record.phase("baseline", len(testset)) as keep:
                record.baseline = evaluator.evaluate(program, testset, "baseline", keep)
            record.refuse_errors(record.baseline, len(testset))

            meter = Meter(record.meter, for_optimizer=True)
            with record.optimizing() as tell, dspy.context(**settings, **meter.settings):
                task = optimizers.Task(
                    metric=optimizers.Objective(metric, checks.build(config.assertions, config.plugins)),
                    trainset=programs.with_contexts(program, trainset),
                    valset=valset,
                    lm=lm,
                    teacher=teacher,
                    workers=workers,
                    pool=pool,
                    tell=tell,
                )

                def on_val(candidate: dspy.Module) -> float:
                    outcomes = evaluator.evaluate(candidate, valset, "val", lambda outcome: None)
                    record.refuse_errors(outcomes, len(valset))
                    return sum(outcome.score or 0.0 for outcome in outcomes) / len(outcomes)

                optimized = optimizers.optimize(config.optimizer, program, task, on_val, meter)
        record.keep_program(optimized)

        with record.phase("optimized", len(testset)) as keep:
            if optimized.unchanged:
                record.optimized = record.repeat_baseline(keep)
            else:
                record.optimized = evaluator.evaluate(optimized.program, testset, "optimized", keep)
        record.refuse_errors(record.optimized, len(testset))
        # What was asked all over again was kept apart. Marked before the summary is there and dropped after it, it is
        # neither lost to a run that is killed nor taken by the next one.
        if config.rerun:
            for endpoint in schema.endpoints(config).values():
                answers.ending(endpoint, job.fingerprint, path)
    if config.rerun:
        for endpoint in schema.endpoints(config).values():
            answers.forget(endpoint, job.fingerprint)


@contextmanager
def _stopping(limits: LimitsConfig, clock: Clock) -> Iterator[None]:
    """Turn what stops a run in the middle into the error that says why; nobody waits for an endpoint after it."""
    try:
        with within(limits.seconds, spent=clock.seconds()["total"]):
            yield
    except Stopped as stopped:
        raise stopped.reason from stopped
    finally:
        health.give_up()


def _probe(config: Config, lm: dspy.LM, teacher: dspy.LM | None, metric: metrics.Metric) -> None:
    endpoints.probe(config.endpoint, lm)
    if config.teacher and teacher:
        with endpoints.speaking_of("teacher"):
            endpoints.probe(config.teacher, teacher)
    metrics.probe(metric)


def _dspy_logs_to_file() -> None:
    """Let DSPy's log messages go where all others go, not to the screen."""
    logger = logging.getLogger("dspy")
    logger.handlers.clear()
    logger.propagate = True
