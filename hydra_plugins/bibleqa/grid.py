"""`hydra/sweeper=grid`: Hydra's grid of combinations, run as one of this project's sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict, read_write


@dataclass
class GridConf:
    """Keys of `hydra.sweeper`, as Hydra's own sweeper has them."""

    _target_: str = "hydra_plugins.bibleqa.grid.Grid"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="bibleqa")


class Grid(BasicSweeper):
    """Every combination of the values given; `sweeps.sweep` says which of them are run, and keeps the account."""

    def sweep(self, arguments: list[str]) -> Any:
        """Hydra: run the sweep that the command line asks for."""
        from bibleqa.sweeps import sweep

        assert self.config is not None
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        (combinations,) = self.split_arguments(overrides, None)
        return sweep.run(combinations, self._compose, self._launch, self.config, self._check)

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        assert self.config is not None
        assert self.hydra_context is not None
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        return composed

    def _check(self) -> None:
        """Have the launcher say what is in its way before anything is written; Hydra's own know no such thing."""
        if check := getattr(self.launcher, "check", None):
            check()

    def _launch(self, jobs: Sequence[Sequence[str]]) -> Any:
        assert self.launcher is not None
        return self.launcher.launch(jobs, initial_job_idx=0)
