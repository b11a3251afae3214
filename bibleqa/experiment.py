"""One run from start to end: measure, optimize, measure again, record."""

import logging
from pathlib import Path

import dspy

from bibleqa import assertions, metrics, optimizers, provenance, report, runs
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
        EndpointUnusable: The model cannot be reached; likewise.
        RunFailed: The run began and could not finish; what it has done is in the folder.
    """
    clock = Clock()
    with clock("load"):
        program = assertions.enforce(programs.build(config.program), config.assertions)
        dataset = slices.load(config.dataset, config.corpus)
        fingerprint = provenance.fingerprint(config, dataset.digest, embedded.digest(config.endpoint))
        if not config.rerun and (earlier := runs.find_finished(fingerprint)):
            report.earlier(earlier)
            return
        _dspy_logs_to_file()
        lm = endpoints.connect(config.endpoint, again=fingerprint if config.rerun else None)
        program.set_lm(lm)
        metric = metrics.build(config.metric)
        report.plan(config, dataset, path)
        endpoints.probe(config.endpoint, lm)

    settings = {"lm": lm, "adapter": programs.adapter(config.adapter)}
    workers = endpoints.concurrency(config.endpoint)
    trainset, valset, testset = ([programs.example(item) for item in split] for split in dataset.splits.values())

    record = Record(config, dataset, fingerprint, RunFolder(path), clock)
    evaluator = Evaluator(metric, settings, record.meter, workers)
    with record:
        with record.phase("baseline", len(testset)) as keep:
            record.baseline = evaluator.evaluate(program, testset, "baseline", keep)
        record.refuse_errors(record.baseline)

        with record.phase("optimize"), dspy.context(**settings, **record.meter.settings):
            optimized = optimizers.optimize(
                config.optimizer, program, metrics.AsDSPy(metric), trainset, valset, meter=record.meter, workers=workers
            )
        record.keep_program(optimized)

        with record.phase("optimized", len(testset)) as keep:
            if optimized.unchanged:
                record.optimized = record.repeat_baseline(keep)
            else:
                record.optimized = evaluator.evaluate(optimized.program, testset, "optimized", keep)
        record.refuse_errors(record.optimized)
        if config.rerun:
            endpoints.forget(config.endpoint, fingerprint)


def _dspy_logs_to_file() -> None:
    """Let DSPy's log messages go where all others go, not to the screen."""
    logger = logging.getLogger("dspy")
    logger.handlers.clear()
    logger.propagate = True
