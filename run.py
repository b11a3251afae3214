"""Run one experiment: compose conf/ with the overrides of the command line, and hand it to `bibleqa.experiment`."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from bibleqa import config, console, reproduce

# Hydra then raises what goes wrong instead of printing it, and there is one place that words errors.
os.environ["HYDRA_FULL_ERROR"] = "1"


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(composed: DictConfig) -> None:
    """One run, in the folder that Hydra made for it."""
    checked = config.checked(composed)
    from bibleqa import experiment  # DSPy and all that: seconds, which a config error need not pay for

    experiment.run(checked, Path(HydraConfig.get().runtime.output_dir))


def main() -> None:
    """The command line."""
    sys.argv[1:] = reproduce.expand(sys.argv[1:])
    config.prepare(sys.argv[1:])
    job()


if __name__ == "__main__":
    sys.exit(console.guarded(main))
