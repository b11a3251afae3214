"""Run one experiment: compose conf/ with the overrides of the command line, and hand it to `bibleqa.experiment`."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bibleqa import config, console, reproduce, runs

# Hydra then raises what goes wrong instead of printing it, and there is one place that words errors.
os.environ["HYDRA_FULL_ERROR"] = "1"


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(composed: DictConfig) -> None:
    """One run, in the folder that Hydra made for it."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        run(composed)  # Hydra lets the other jobs finish, then raises what went wrong
    elif code := console.guarded(lambda: run(composed)):
        sys.exit(code)  # past Hydra, which would put a line of its own before ours


def run(composed: DictConfig) -> None:
    """Check the config and run it; a folder in which nothing began is gone again."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        checked = config.checked(composed)
        from bibleqa import experiment  # DSPy and all that: seconds, which a config error need not pay for

        experiment.run(checked, folder)
    finally:
        runs.discard_unused(folder)


def main() -> None:
    """The command line."""
    sys.argv[1:] = reproduce.expand(sys.argv[1:])
    config.prepare(sys.argv[1:])
    job()


if __name__ == "__main__":
    sys.exit(console.guarded(main))
