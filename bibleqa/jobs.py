"""What a run is before it begins: its config, its questions, and the fingerprint by which an equal one is known."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bibleqa import budget, checks, optimizer_limits, provenance, verdict
from bibleqa.data import slices
from bibleqa.data.slices import Dataset
from bibleqa.lm import embedded
from bibleqa.runs import RunFolder
from bibleqa.schema import Config, CorpusConfig, DatasetConfig


@dataclass(frozen=True)
class Job:
    """A run that could be made."""

    config: Config
    dataset: Dataset
    fingerprint: str


def identify(config: Config, load: Callable[[DatasetConfig, CorpusConfig], Dataset] = slices.load) -> Job:
    """See that a run can be made and which one it is; nothing is spent but the building of a dataset.

    Args:
        config: Checked.
        load: Gives the questions.

    Raises:
        ConfigError: Something in config or data is wrong.
    """
    checks.build(config.assertions, config.plugins)
    budget.check(config)
    dataset = load(config.dataset, config.corpus)
    optimizer_limits.check(config, len(dataset.train), len(dataset.val))
    if config.reproduce.run:
        verdict.check_data(RunFolder(Path(config.reproduce.run)), config, dataset.digest)
    learned_from = dataset.pool_digest if optimizer_limits.tunes_weights(config.optimizer) else None
    fingerprint = provenance.fingerprint(config, dataset.digest, embedded.digests(config), learned_from)
    return Job(config, dataset, fingerprint)
