"""A config that was composed once comes back as Hydra would compose it, until what it follows from has changed."""

from collections.abc import Sequence
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from options import OPTIONS, choosing

from bibleqa import config, paths, provenance
from bibleqa.errors import ConfigError
from bibleqa.sweeps.composing import Composer


class Counting:
    """Hydra's composing, counted."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        self.times += 1
        config.prepare()
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(paths.conf()), version_base="1.3"):
            return hydra.compose("config", overrides=list(overrides))


@pytest.mark.parametrize(("group", "option"), [one for one in OPTIONS if one[0] in ("optimizer", "metric", "dataset")])
def test_a_config_comes_back_as_it_was_composed(project: Path, group: str, option: str) -> None:
    overrides = choosing(group, option)
    counting = Counting()
    made, kept = Composer(counting)(overrides), Composer(counting)(overrides)
    assert kept == made
    assert counting.times == 1
    assert provenance.fingerprint(kept, "d", {}) == provenance.fingerprint(made, "d", {})


def test_what_concerns_the_sweep_alone_makes_no_other_config(project: Path) -> None:
    counting = Counting()
    composer = Composer(counting)
    assert composer(["plan=true", "optimizer=none"]) == composer(["optimizer=none", "retry_failed=false"])
    assert counting.times == 1


def test_it_is_composed_anew_when_its_surroundings_have_changed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting()
    assert Composer(counting)(["endpoint=lm_studio", "optimizer=none"]).endpoint.model == "mistral-nemo-instruct-2407"
    monkeypatch.setenv("LM_STUDIO_CHAT_MODEL", "another")
    assert Composer(counting)(["endpoint=lm_studio", "optimizer=none"]).endpoint.model == "another"
    further = project / "further"
    further.mkdir()
    (further / "own.yaml").write_text("a: 1")
    Composer(counting, [further])(["optimizer=none"])
    (further / "own.yaml").write_text("a: 2")
    Composer(counting, [further])(["optimizer=none"])
    assert counting.times == 4


def test_a_variable_that_an_override_names_is_looked_up_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composer = Composer(Counting())
    for model in ("one", "another"):
        monkeypatch.setenv("MY_MODEL", model)
        assert composer(["endpoint.model=${oc.env:MY_MODEL}"]).endpoint.model == model


def test_a_wrong_config_is_said_of_its_job_and_not_kept(project: Path) -> None:
    composer = Composer(Counting())
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^optimizer=labeled optimizer\.k=0: optimizer\.k=0: must be 1 or more"):
            composer(["optimizer=labeled", "optimizer.k=0"])
    assert not (project / "outputs" / ".composed").exists()
