"""Run one experiment: compose conf/ with the overrides of the command line, and hand it to `bibleqa.experiment`."""

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bibleqa import config, console, garbage, reproduce, runs, secrets
from bibleqa.config import guard

garbage.collect_seldom()
# Hydra then raises what goes wrong instead of printing it, and there is one place that words errors.
os.environ["HYDRA_FULL_ERROR"] = "1"
# On a full disk run.log cannot be written either: that is said once, in one line, and not at every line of the log.
logging.raiseExceptions = False


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(composed: DictConfig) -> None:
    """One run, in the folder that Hydra made for it."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        with console.to_file(Path(HydraConfig.get().runtime.output_dir) / "screen.txt"):
            run(composed)  # the other jobs go on; the end of the sweep says what went wrong
    elif code := console.guarded(lambda: run(composed)):
        sys.exit(code)  # past Hydra, which would put a line of its own before ours


def run(composed: DictConfig) -> None:
    """Check the config and run it; a folder in which nothing began is gone again."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    secrets.keep_out_of_logs()
    try:
        checked = config.checked(composed)
        if checked.plan:
            from bibleqa.sweeps import plan  # and numpy, which a config error need not pay for

            plan.show_one(checked)
        else:
            from bibleqa import experiment  # and DSPy, which a plan need not pay for

            experiment.run(checked, folder)
    finally:
        runs.discard_unused(folder)


def main() -> None:
    """The command line."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(config.help_text())  # Hydra would first look through all of its groups, a second long
        return
    config.refuse_contradictions(sys.argv[1:])
    # Hydra takes -m before the overrides only.
    sys.argv[1:] = sorted(reproduce.expand(sys.argv[1:]), key=lambda argument: argument not in ("-m", "--multirun"))
    guard.refuse_options(sys.argv[1:])
    config.prepare(sys.argv[1:])
    job()


if __name__ == "__main__":
    sys.exit(console.guarded(main))
