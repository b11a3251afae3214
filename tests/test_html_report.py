"""The report is one file that needs nothing else, and shows what the leaderboard has."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from past_runs import make, make_sweep

from bibleqa import cli
from bibleqa.results import html_report, leaderboard

CANDIDATES: list[dict[str, Any]] = [
    {"name": "baseline", "score": None, "scored_on": None, "val": 0.25, "program": {}},
    {"name": "random_0", "score": 0.5, "scored_on": "val", "val": None, "program": {}},
    {"name": "random_1", "score": 0.75, "scored_on": "val", "val": 0.75, "program": {}},
]
VOID = {"meta", "br", "path", "use", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """What stands in a page: its elements are checked to be closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def html(project: Path) -> str:
    make(project, "optimizer=bootstrap", scores=[1.0] * 8, candidates=CANDIDATES)
    make(project, "optimizer=none", scores=[0.0] * 8)
    make(project, "optimizer.strategy='<script>alert(1)</script> $x$'", scores=[0.0, 1.0] * 4, candidates=CANDIDATES)
    make(project, "dataset=strongs", dataset_digest="e" * 64)
    return html_report.render(leaderboard.of_project())


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    page = Page(html)
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert "@import" not in html
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)", html))


def test_a_config_cannot_put_markup_into_it(html: str) -> None:
    assert "<script" not in html
    assert "optimizer.strategy=<script>alert(1)</script> $x$" in Page(html).text


def test_pictures_do_not_share_names_and_find_their_own(html: str) -> None:
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    wanted = {link[1:] for link in page.links} | set(re.findall(r"url\(#([^)]*)\)", html))
    assert wanted <= set(page.ids)
    assert page.tags.count("svg") == 5  # scores and cost of two tables, the trials of one


def test_it_has_colours_for_day_and_night_and_fits_a_phone(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert "currentColor" in html
    assert "#010203" not in html


def test_it_says_what_the_leaderboard_says(html: str) -> None:
    text = " ".join(Page(html).text.split())
    for said in (
        "dataset=kjv (8 questions, dddddddd), metric=contains",
        "dataset=strongs (4 questions, eeeeeeee), metric=contains",
        "100.0% on 8 questions",
        "What each option is worth",
        "Score by question type",
        "type0",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ([], "optimizer=gepa: 100.0% on 12 questions (95 % interval 100.0 to 100.0)."),
        (["none"], "told from every other run."),
        (["none", "knn"], "1 of the 2 others cannot be told from it by these questions."),
    ],
)
def test_the_verdict_is_as_careful_as_the_numbers(project: Path, others: list[str], verdict: str) -> None:
    make(project, "optimizer=gepa", scores=[1.0] * 12)
    for option in others:
        make(project, f"optimizer={option}", scores=[1.0] * 11 + [0.0] if option == "knn" else [0.0] * 12)
    (standing,) = leaderboard.of_project().standings
    assert html_report.verdict(standing).endswith(verdict)


def test_runs_that_tried_nothing_have_no_trial_curves(project: Path) -> None:
    make(project)
    html = html_report.render(leaderboard.of_project())
    assert Page(html).tags.count("svg") == 2


def test_the_command_writes_it_beside_the_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_sweep(project, [(["optimizer=none"], make(project).fingerprint), (["optimizer=knn"], None)])
    file = project / "report.html"
    assert cli.main(["leaderboard", "--sweep", str(folder), "--html", str(file)]) == 0
    assert capsys.readouterr().out.endswith(f"report: {file}\n")
    text = Page(file.read_text(encoding="utf-8")).text
    assert f"sweep {folder.name}" in text
    assert "1 of 2 jobs have no result: optimizer=knn" in text


@pytest.mark.parametrize("place", [".", "nowhere/report.html"])
def test_a_place_that_cannot_be_written_is_refused_first(
    project: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    make(project)
    assert cli.main(["leaderboard", "--html", str(project / place)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_a_sweep_without_any_result_has_a_report_too(project: Path) -> None:
    board = leaderboard.of_sweep(make_sweep(project, [(["optimizer=none"], None)]))
    html_report.write(board, project / "report.html")
    assert "1 of 1 jobs have no result" in (project / "report.html").read_text(encoding="utf-8")
