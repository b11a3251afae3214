"""One run from start to end: measure, optimize, measure again, record."""

import logging
from pathlib import Path

import dspy

from bibleqa import assertions, metrics, optimizers, provenance, report, runs, schema
from bibleqa import program as programs
from bibleqa.data import slices
from bibleqa.evaluation import Evaluator
from bibleqa.lm import embedded, endpoints
from bibleqa.record import Clock, Record
from bibleqa.runs import RunFolder
from bibleqa.schema import Config


def run(config: Config, path: Path) -> None:
    """Run one experiment in a folder that Hydra has made, or show the finished run that is equal to it.

    Raises:
        ConfigError: Something in config or data is wrong; nothing was spent.
        EndpointUnusable: A model cannot be reached; likewise.
        RunFailed: The run began and could not finish; what it has done is in the folder.
    """
    clock = Clock()
    with clock("load"):
        program = assertions.enforce(programs.build(config.program), config.assertions, config.plugins)
        dataset = slices.load(config.dataset, config.corpus)
        optimizers.check(config, len(dataset.train), len(dataset.val))
        learned_from = dataset.pool_digest if optimizers.tunes_weights(config.optimizer) else None
        fingerprint = provenance.fingerprint(config, dataset.digest, embedded.digests(config), learned_from)
        if not config.rerun and (earlier := runs.find_finished(fingerprint)):
            report.earlier(earlier)
            return
        _dspy_logs_to_file()
        again = fingerprint if config.rerun else None
        lm = endpoints.connect(config.endpoint, again=again)
        teacher = endpoints.connect(config.teacher, again=again) if config.teacher else None
        metric = metrics.build(config, again=again)
        program.set_lm(lm)
        report.plan(config, dataset, path)
        endpoints.probe(config.endpoint, lm)
        if config.teacher and teacher:
            with endpoints.speaking_of("teacher"):
                endpoints.probe(config.teacher, teacher)
        metrics.probe(metric)

    settings = {"lm": lm, "adapter": programs.adapter(config.adapter)}
    workers = endpoints.concurrency(config.endpoint)
    trainset, valset, testset = ([programs.example(item) for item in split] for split in dataset.splits.values())

    record = Record(config, dataset, fingerprint, RunFolder(path), clock)
    evaluator = Evaluator(metric, settings, record.meter, workers)
    with record:
        with record.phase("baseline", len(testset)) as keep:
            record.baseline = evaluator.evaluate(program, testset, "baseline", keep)
        record.refuse_errors(record.baseline, len(testset))

        with record.optimizing() as tell, dspy.context(**settings, **record.meter.settings):
            task = optimizers.Task(
                metric=optimizers.Objective(metric, assertions.build(config.assertions, config.plugins)),
                trainset=trainset,
                valset=valset,
                lm=lm,
                teacher=teacher,
                workers=workers,
                pool=[programs.example(item) for item in dataset.pool],
                tell=tell,
            )

            def on_val(candidate: dspy.Module) -> float:
                outcomes = evaluator.evaluate(candidate, valset, "val", lambda outcome: None)
                record.refuse_errors(outcomes, len(valset))
                return sum(outcome.score or 0.0 for outcome in outcomes) / len(outcomes)

            optimized = optimizers.optimize(config.optimizer, program, task, on_val, record.meter)
        record.keep_program(optimized)

        with record.phase("optimized", len(testset)) as keep:
            if optimized.unchanged:
                record.optimized = record.repeat_baseline(keep)
            else:
                record.optimized = evaluator.evaluate(optimized.program, testset, "optimized", keep)
        record.refuse_errors(record.optimized, len(testset))
        if config.rerun:
            for endpoint in schema.endpoints(config).values():
                endpoints.forget(endpoint, fingerprint)


def _dspy_logs_to_file() -> None:
    """Let DSPy's log messages go where all others go, not to the screen."""
    logger = logging.getLogger("dspy")
    logger.handlers.clear()
    logger.propagate = True
