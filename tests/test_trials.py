"""The picture of what an optimizer tried."""

from pathlib import Path

import pytest

from bibleqa import program as programs
from bibleqa import trials
from bibleqa.optimizers import Candidate
from bibleqa.schema import ProgramConfig

PROGRAM = programs.build(ProgramConfig("predict"))
BASELINE = Candidate("baseline", PROGRAM, val=0.25)
SETS = {
    "compared alone": [BASELINE, Candidate("labeled", PROGRAM, val=0.5)],
    "nothing but the baseline": [BASELINE],
    "a search": [BASELINE, *(Candidate(f"random_{n}", PROGRAM, n / 4, "val") for n in range(4))],
    "of several kinds": [
        BASELINE,
        Candidate("c: depth_0_0", PROGRAM, 0.5, "train"),
        Candidate("trial_1", PROGRAM, 1.0, "minibatch of val", val=1.0),
        Candidate("ensemble", PROGRAM, val=0.75),
    ],
}


@pytest.mark.parametrize("candidates", SETS.values(), ids=SETS)
def test_a_picture_comes_of_any_candidates(candidates: list[Candidate], tmp_path: Path) -> None:
    trials.draw(candidates, tmp_path / "candidates.png")
    picture = (tmp_path / "candidates.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 5000


def test_other_scores_make_another_picture(tmp_path: Path) -> None:
    for name, score in (("one.png", 0.0), ("two.png", 1.0)):
        trials.draw([BASELINE, Candidate("x", PROGRAM, score, "val")], tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()
