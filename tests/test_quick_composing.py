"""What Hydra composes quickly in tests is what it composes otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf
from project import HOME

from bibleqa import config, paths
from bibleqa.config import guard

CHOSEN = ("experiment=smoke", "endpoint@judge=openai", "metric=judge", "dataset.seed=5", "hydra/launcher=basic")
AS_HYDRA_DOES = """
import sys
from bibleqa import config, paths
config.prepare()
import hydra
from omegaconf import OmegaConf
with hydra.initialize_config_dir(str(paths.conf()), version_base="1.3"):
    print(OmegaConf.to_yaml(hydra.compose("config", overrides=sys.argv[1:], return_hydra_config=True)))
"""


@pytest.fixture(autouse=True)
def ready(project: Path) -> None:
    config.prepare()


def composed(*overrides: str, folder: Path | None = None) -> DictConfig:
    """With Hydra's own part, nothing resolved."""
    with hydra.initialize_config_dir(str(folder or paths.conf()), version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides), return_hydra_config=True)


def test_it_is_what_hydra_composes_by_itself() -> None:
    command = [sys.executable, "-c", AS_HYDRA_DOES, *CHOSEN]
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    alone = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    for _ in range(2):  # new, and known
        assert OmegaConf.to_yaml(composed(*CHOSEN)).splitlines() == alone.stdout.rstrip("\n").splitlines()


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config of two groups, the second of which goes by the first; nobody sees that it is this project's."""
    monkeypatch.setattr(guard, "check", lambda *_: None)
    folder = tmp_path / "own"
    folder.mkdir()
    write(folder, "config.yaml", "defaults:\n  - a: one\n  - b: ${a}\n  - _self_\nx: {y: 1}")
    for name in ("one", "two"):
        write(folder, f"a/{name}.yaml", f"is: {name}")
        write(folder, f"b/{name}.yaml", f"goes_by: {name}")
    return folder


def test_an_option_that_goes_by_another_does_so(own: Path) -> None:
    assert [composed(f"a={name}", folder=own).b.goes_by for name in ("one", "two", "one")] == ["one", "two", "one"]


def test_a_file_that_changed_is_read_again(own: Path) -> None:
    assert composed(folder=own).a["is"] == "one"
    write(own, "a/one.yaml", "is: new")
    assert composed(folder=own).a["is"] == "new"


def test_what_is_done_to_a_config_is_not_in_the_next(own: Path) -> None:
    first = composed("x.y=2", folder=own)
    first.a["is"] = "changed"
    assert (composed(folder=own).a["is"], composed(folder=own).x.y) == ("one", 1)


def test_each_has_its_own_time(own: Path) -> None:
    write(own, "config.yaml", "defaults:\n  - a: one\n  - _self_\nat: ${now:%f}")
    write(own, "a/one.yaml", "# @package _global_\nat: ${now:%f}")  # to put one over the other, Hydra looks the time up
    assert len({composed(folder=own)["at"] for _ in range(3)}) == 3
