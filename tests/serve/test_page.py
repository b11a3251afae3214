"""The page in a real browser: what a person sees, on a desk, on a phone, by keyboard, by screen reader."""

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chromium
import dspy
import fake_openai
import httpx
import past_runs
import pytest
import small_corpus
from axe_playwright_python.sync_playwright import Axe
from fake_openai import MODEL, MODELS, Asked, Server, Verbatim, reset, status
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright
from served import listening

from bibleqa import feedback, retrieval, runs
from bibleqa.data import feedback as dataset
from bibleqa.data import sources
from bibleqa.promotion import model_card
from bibleqa.retrieval import Retriever
from bibleqa.schema import RetrieverConfig
from bibleqa.serve import loading, readiness
from bibleqa.serve.answerer import Answerer
from bibleqa.serve.api import PAGE, Api
from bibleqa.serve.ports import Parts

CREATED = "Who created the heavens and the earth?"
MEANS = "What does 'God' mean here?"
WHAT_ELSE = "And what else did he create?"
WEPT = "Who wept, in John 11:35?"
WORD_WAS = "Who was the Word?"
UNREADABLE = "What can nobody read?"
HOSTILE = "What is <b>bold</b>?"
MARKUP = "<img src=x onerror=alert(1)>"
ANSWERS = {
    CREATED: "God",
    WEPT: "Jesus",
    WORD_WAS: "God",
    UNREADABLE: Verbatim("[[ ## question ## ]]"),
    HOSTILE: MARKUP,
}

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
REFUSALS = re.compile(
    r"Failed to load resource: (the server responded with a status of (401|422|429|503)|net::ERR_INTERNET)"
)


@pytest.fixture(scope="session")
def chromium_here(tmp_path_factory: pytest.TempPathFactory) -> chromium.Chromium:
    """Debian's Chromium: the machine's own, else fetched."""
    if own := chromium.installed():
        return own
    if not shutil.which("apt-get"):
        pytest.skip("the page is tested in Chromium: install one, so that `chromium` is on the path")
    return chromium.fetch(tmp_path_factory.mktemp("chromium"))


@pytest.fixture(scope="module")
def browser(chromium_here: chromium.Chromium) -> Iterator[Browser]:
    # Not for the session: while Playwright runs, no other test of this worker can have an event loop.
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium_here.executable,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
            env={**os.environ, **chromium_here.environment},
        )
        yield launched
        launched.close()


def knows(asked: Asked) -> str:
    """A model that follows a conversation."""
    if asked.question == WHAT_ELSE:
        return "the earth" if CREATED in str(asked.body["messages"]) else "I do not know who."
    return ANSWERS.get(asked.question, "I do not know.")


@dataclass
class Served:
    """The page in its real server, which asks a model that answers by a script.

    Attributes:
        base_url: Where it is.
        api: Its application.
        endpoint: The model.
    """

    base_url: str
    api: Api
    endpoint: Server

    def breaks(self) -> None:
        self.endpoint.faults = [reset(), reset(path=MODELS)]

    def mends(self) -> None:
        self.endpoint.faults = []


@pytest.fixture
def retriever(with_verse_index: None) -> Retriever:
    """Full-text search."""
    return retrieval.build(RetrieverConfig(name="fts"))


@dataclass
class Serving:
    """Serves in a project of its own."""

    project: Path
    retriever: Retriever

    @contextmanager
    def __call__(self, *overrides: str, waits: bool = True, **other: Any) -> Iterator[Served]:
        """Serve.

        Args:
            overrides: As for run.py.
            waits: Whether until the model answers.
            other: As of `served.application`.
        """
        with fake_openai.running(knows) as endpoint:
            asks = ("endpoint=openai", f"endpoint.base_url={endpoint.base_url}", f"endpoint.model={MODEL}")
            answerer = Answerer(None, [*asks, *overrides], retriever=self.retriever)

            def load() -> Parts:
                answerer.probe()
                return Parts(answerer, answerer.retriever)

            if not waits:
                endpoint.faults = [reset(path=MODELS)]
            given = {"page": PAGE, "keep": feedback.keep, "load": load, **other}
            with listening(self.project, **given) as (address, api):
                until(lambda: not waits or api.readiness.is_loaded)
                yield Served(address, api, endpoint)


def until(reached: Any) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.01)


@pytest.fixture
def serving(project: Path, retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Serves; an endpoint is looked at without long waits, and DSPy is as it was afterwards."""
    store = small_corpus.build(project / "corpus.sqlite")
    monkeypatch.setattr(sources, "ensure_store", lambda corpus: store)
    monkeypatch.setattr("bibleqa.lm.health._backoff", lambda failed: 0.0)
    monkeypatch.setattr(readiness, "_AGAIN_SECONDS", 0.2)
    monkeypatch.setenv("OPENAI_API_KEY", "none-of-your-business")
    before = dspy.cache
    yield Serving(project, retriever)
    dspy.cache = before


@pytest.fixture
def server(serving: Serving) -> Iterator[Served]:
    with serving() as served:
        yield served


@contextmanager
def opened(browser: Browser, base_url: str, **options: Any) -> Iterator[Page]:
    """A page that complains about nothing, and asks nobody but its own server."""
    context = browser.new_context(base_url=base_url, **options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    complaints: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith(f"{base_url}/"):
            complaints.append(f"asks {request.url}")

    page.on("request", asked)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: (
            complaints.append(said.text)
            if said.type in ("error", "warning") and not REFUSALS.match(said.text)
            else None
        ),
    )
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def page(browser: Browser, server: Served) -> Iterator[Page]:
    with opened(browser, server.base_url) as page:
        page.goto("/ask")
        yield page


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question", exact=True).fill(question)
    page.keyboard.press("Enter")


def ask_is_over(page: Page) -> None:
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()


def turn(page: Page, question: str) -> Locator:
    return (
        page.get_by_role("list", name="Conversation")
        .get_by_role("listitem")
        .filter(has=page.get_by_role("heading", name=question, exact=True))
    )


def state(page: Page) -> Locator:
    return page.locator("#state")


def has_answer(page: Page, question: str, answer: str) -> None:
    expect(turn(page, question).locator(".answer[aria-busy=false]")).to_have_text(answer)


def sideways(page: Page) -> int:
    """Pixels by which the page can be scrolled to the side."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_a_conversation_goes_on_over_an_endpoint_that_breaks(page: Page, server: Served) -> None:
    ask(page, CREATED)
    has_answer(page, CREATED, "God")
    expect(turn(page, CREATED).locator(".reference").first).to_have_text("Genesis 1:1")
    ask(page, MEANS)
    has_answer(page, MEANS, "Elohim (H430)")
    expect(turn(page, MEANS).locator(".cost")).to_contain_text("no model was asked")
    server.breaks()
    ask(page, WHAT_ELSE)
    expect(state(page)).to_contain_text(re.compile(r"^nothing answers at http://.* Your question is kept"))
    expect(page.get_by_label("Question", exact=True)).to_have_value(WHAT_ELSE)
    server.mends()
    has_answer(page, WHAT_ELSE, "the earth")
    expect(turn(page, WHAT_ELSE).locator(".cost")).to_contain_text("2 earlier turns read")
    expect(state(page)).to_be_empty()
    expect(page.get_by_label("Question", exact=True)).to_have_value("")


def test_the_words_of_answer_and_question_are_marked(page: Page) -> None:
    ask(page, CREATED)
    has_answer(page, CREATED, "God")
    verse = turn(page, CREATED).locator("blockquote").first
    expect(verse).to_have_text("In the beginning God created the heaven and the earth.")
    expect(verse.locator("mark.answered")).to_have_text(["God"])
    expect(verse.locator("mark.asked")).to_have_text(["created", "heaven", "earth"])


def test_the_words_behind_the_answer_are_shown_and_the_others_on_request(page: Page) -> None:
    ask(page, CREATED)
    ask_is_over(page)
    words = turn(page, CREATED).locator(".word:visible")
    expect(words).to_have_count(1)
    for shown in ("God", "אלהים", "Elohim", "H430"):
        expect(words).to_contain_text(shown)
    page.get_by_text("2 other original words").click()
    expect(words).to_have_count(3)


def test_hebrew_runs_from_the_right_and_greek_from_the_left(page: Page) -> None:
    ask(page, CREATED)
    ask_is_over(page)
    hebrew = turn(page, CREATED).locator("bdi").first
    assert [hebrew.get_attribute(name) for name in ("lang", "dir")] == ["he", "rtl"]
    page.get_by_text("Context or reference").click()
    page.get_by_label("Answer from this passage").fill("John 1:1")
    ask(page, WORD_WAS)
    greek = turn(page, WORD_WAS).locator("bdi").first
    assert [greek.get_attribute(name) for name in ("lang", "dir")] == ["el", "ltr"]
    ask(page, "מי ברא את השמים?")
    question = turn(page, "מי ברא את השמים?").locator(".question")
    assert question.evaluate("one => getComputedStyle(one).direction") == "rtl"


def test_a_context_goes_with_the_question_and_says_so_while_it_is_hidden(page: Page) -> None:
    summary = page.get_by_text("Context or reference")
    summary.click()
    page.get_by_label("Answer from this passage").fill("John 1:1")
    summary.click()
    expect(summary).to_have_text("Context or reference, in use")
    ask(page, WORD_WAS)
    has_answer(page, WORD_WAS, "God")
    expect(turn(page, WORD_WAS).locator(".given")).to_have_text("Context: John 1:1")


def test_the_verses_are_shown_before_the_answer_which_comes_in_as_it_is_written(page: Page, server: Served) -> None:
    begins, goes_on = threading.Event(), threading.Event()
    server.endpoint.answer = lambda asked: "God " * 20
    server.endpoint.before_event = lambda number: (goes_on if number > 12 else begins).wait(20)
    ask(page, CREATED)
    shown = turn(page, CREATED)
    expect(shown.locator(".reference").first).to_have_text("Genesis 1:1")
    expect(shown.locator("mark.asked").first).to_have_text("created")
    expect(shown.locator(".answer")).to_be_empty()
    begins.set()
    expect(shown.locator(".answer")).to_contain_text("God God")
    expect(shown.locator(".answer")).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    goes_on.set()
    has_answer(page, CREATED, ("God " * 20).strip())
    expect(shown.locator("mark.answered").first).to_have_text("God")
    expect(page.locator("#spoken[aria-live=polite]")).to_contain_text("Answer: God God")


def test_escape_stops_and_gives_the_question_back(page: Page, server: Served) -> None:
    stopped = threading.Event()
    server.endpoint.before_event = lambda number: stopped.wait(20)
    ask(page, CREATED)
    expect(state(page)).to_have_text("The answer is coming …")
    page.keyboard.press("Escape")
    expect(state(page)).to_contain_text("Stopped.")
    stopped.set()
    expect(page.get_by_label("Question", exact=True)).to_have_value(CREATED)
    expect(page.get_by_label("Question", exact=True)).to_be_focused()
    expect(turn(page, CREATED)).to_have_count(0)


def test_an_answer_that_is_cut_off_is_no_answer(page: Page) -> None:
    half = 'event: citations\ndata: []\n\nevent: token\ndata: {"text": "Go"}\n\n'
    page.route("**/api/dspy/ask", lambda route: route.fulfill(content_type="text/event-stream", body=half))
    ask(page, CREATED)
    expect(state(page)).to_have_text("The answer was cut off. Ask again.")
    expect(page.get_by_label("Question", exact=True)).to_have_value(CREATED)


def test_a_model_that_is_not_there_yet_is_waited_for_from_the_start(browser: Browser, serving: Serving) -> None:
    with serving(waits=False) as served, opened(browser, served.base_url) as page:
        page.goto("/ask")
        expect(state(page)).to_contain_text(
            re.compile(r"nothing answers at .* You can write your question meanwhile\.")
        )
        served.mends()
        expect(state(page)).to_have_text("Ready.")


def test_a_server_that_cannot_be_reached_is_waited_for(page: Page) -> None:
    expect(page.locator("#served")).not_to_be_empty()
    page.context.set_offline(True)
    ask(page, CREATED)
    expect(state(page)).to_contain_text("The server does not answer. Your question is kept")
    page.context.set_offline(False)
    has_answer(page, CREATED, "God")


def test_too_many_questions_are_asked_again_when_the_server_says(browser: Browser, serving: Serving) -> None:
    with (
        serving(at_once=1, waiting=0) as served,
        opened(browser, served.base_url) as page,
        ThreadPoolExecutor() as pool,
    ):
        over = threading.Event()
        served.endpoint.before_event = lambda number: over.wait(20)
        page.goto("/ask")
        body = {"question": WEPT, "stream": True}
        pool.submit(httpx.post, f"{served.base_url}/api/dspy/ask", json=body, timeout=20)
        until(lambda: served.api.admission.under_way)
        ask(page, CREATED)
        expect(state(page)).to_contain_text("too many questions at once")
        over.set()
        has_answer(page, CREATED, "God")


def test_an_answer_that_fails_on_its_way_says_why_and_gives_the_question_back(page: Page, server: Served) -> None:
    server.endpoint.faults = [status(400)]
    ask(page, CREATED)
    expect(state(page)).to_contain_text("refuses the question")
    expect(page.get_by_label("Question", exact=True)).to_have_value(CREATED)
    expect(turn(page, CREATED)).to_have_count(0)


def test_a_question_that_is_refused_stays_to_be_mended(page: Page) -> None:
    ask(page, "a" * 2001)
    expect(state(page)).to_contain_text("question: String should have at most 2000 characters")
    expect(page.get_by_label("Question", exact=True)).to_have_value("a" * 2001)


def test_a_reply_that_could_not_be_read_is_said_to_be(page: Page) -> None:
    ask(page, UNREADABLE)
    expect(turn(page, UNREADABLE).locator(".answer")).to_contain_text("could not be read")


def test_what_the_checks_said_is_shown(browser: Browser, serving: Serving) -> None:
    with serving("assertions=strict") as served, opened(browser, served.base_url) as page:
        page.goto("/ask")
        ask(page, WORD_WAS)
        has_answer(page, WORD_WAS, "God")
        ask(page, HOSTILE)
        checks = turn(page, HOSTILE).locator(".checks li")
        expect(checks).to_have_text(["answers: passed", "max words: passed", "grounded: failed"])
        expect(turn(page, HOSTILE).locator(".cost")).to_contain_text("3 attempts")


def test_markup_of_a_model_stays_text(page: Page) -> None:
    ask(page, HOSTILE)
    has_answer(page, HOSTILE, MARKUP)
    assert page.locator("main img, main b").count() == 0


def test_a_token_is_asked_for_once_and_used(browser: Browser, serving: Serving) -> None:
    with serving(token="swordfish") as served, opened(browser, served.base_url) as page:
        page.goto("/ask")
        page.get_by_label("Access token").fill("trout")
        page.keyboard.press("Enter")
        expect(page.locator("#token-hint")).to_have_text("The server does not take this token.")
        page.get_by_label("Access token").fill("swordfish")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Access token")).to_be_hidden()
        ask(page, CREATED)
        has_answer(page, CREATED, "God")
        page.goto("/runs")
        expect(page.get_by_role("heading", name="Served now:")).to_be_visible()


def test_a_conversation_is_there_after_a_reload_until_a_new_one_begins(page: Page, server: Served) -> None:
    ask(page, CREATED)
    ask_is_over(page)
    page.reload()
    has_answer(page, CREATED, "God")
    page.get_by_role("button", name="New conversation").click()
    expect(state(page)).to_have_text("A new conversation.")
    expect(page.locator(".turn")).to_have_count(0)
    assert "bibleqa_sessions 0.0" in httpx.get(f"{server.base_url}/metrics").text
    ask(page, WHAT_ELSE)
    has_answer(page, WHAT_ELSE, "I do not know who.")


def test_what_a_reader_thinks_of_an_answer_is_kept(page: Page) -> None:
    ask(page, CREATED)
    ask_is_over(page)
    shown = turn(page, CREATED)
    shown.get_by_role("button", name="No").click()
    shown.get_by_label("What would be right?").fill("the LORD")
    page.keyboard.press("Enter")
    expect(shown.locator(".thanks")).to_have_text("Thank you, it is recorded.")
    expect(shown.get_by_role("button", name="No")).to_have_attribute("aria-pressed", "true")
    (said,) = runs.read_lines(dataset.file().with_name("thumbs.jsonl"))
    assert (said["question"], said["thumb"], said["correction"]) == (CREATED, "down", "the LORD")


def test_a_new_line_is_no_question_yet(page: Page) -> None:
    page.get_by_label("Question", exact=True).press_sequentially("Who")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("was it?")
    expect(page.get_by_label("Question", exact=True)).to_have_value("Who\nwas it?")
    expect(page.locator(".turn")).to_have_count(0)


def test_the_tab_key_reaches_everything(page: Page) -> None:
    ask(page, CREATED)
    ask_is_over(page)
    everything = page.locator("a[href], button, input, textarea, summary")
    wanted = everything.evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map((one, number) => (one.dataset.number = number))"
    )
    everything.first.focus()
    reached = []
    for _ in wanted:
        number, outline = page.evaluate(
            "[Number(document.activeElement.dataset.number), getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached.append(number)
        assert outline == "solid", page.evaluate("document.activeElement.outerHTML")
        page.keyboard.press("Tab")
    assert len(reached) > 8
    assert reached == wanted


@pytest.mark.parametrize(
    "shape", [{"color_scheme": "light"}, {"color_scheme": "dark", **PHONE}], ids=["desk", "phone in the dark"]
)
def test_the_accessibility_rules_are_kept(browser: Browser, serving: Serving, shape: dict[str, Any]) -> None:
    """Axe's rules: labels, names, roles, contrast of all text that is there (WCAG AA)."""
    card = promoted(serving.project)
    with (
        serving("assertions=strict", card=card) as served,
        opened(browser, served.base_url, reduced_motion="reduce", **shape) as page,
    ):
        page.goto("/ask")
        for question in (CREATED, UNREADABLE, HOSTILE):
            ask(page, question)
            ask_is_over(page)
        page.get_by_role("button", name="No").first.click()
        page.get_by_text("Context or reference").click()
        page.locator(".others summary").first.click()
        served.breaks()
        ask(page, WORD_WAS)
        expect(state(page)).to_contain_text("is kept")
        found = [Axe().run(page)]
        page.goto("/runs")
        expect(page.get_by_role("row")).to_have_count(2)
        found.append(Axe().run(page))
        assert [results.generate_report() for results in found if results.violations_count] == []


def test_a_phone_needs_no_scrolling_to_the_side(browser: Browser, serving: Serving) -> None:
    card = promoted(serving.project)
    with serving(card=card) as served, opened(browser, served.base_url, **PHONE) as page:
        page.goto("/ask")
        for question in (CREATED, "a" * 300):
            ask(page, question)
            ask_is_over(page)
        page.locator(".others summary").first.click()
        page.get_by_text("Context or reference").click()
        assert sideways(page) == 0
        page.goto("/runs")
        expect(page.get_by_role("row")).to_have_count(2)
        assert sideways(page) == 0


def promoted(project: Path) -> Mapping[str, Any]:
    """The card of a finished run's program."""
    run = past_runs.make(project, "optimizer=mipro", scores=[1.0, 1.0, 1.0, 0.0], versions={"dspy": "3.4.1"})
    card = model_card.of(run, run.config, "embedded-mipro", {}, "2026-11-22T08:15:00+00:00")
    return {"optimized": True, **card, "remarks": ["on these questions it is not told from its own baseline"]}


def test_the_runs_show_the_leaderboard_and_the_card_of_what_is_served(browser: Browser, serving: Serving) -> None:
    with serving(card=promoted(serving.project)) as served, opened(browser, served.base_url) as page:
        page.goto("/runs")
        row = page.get_by_role("row").nth(1)
        for shown in ("75.0 %", "25.0 to 100.0", "4", "predict", "mipro", "contains", "kjv"):
            expect(row).to_contain_text(shown)
        expect(page.get_by_role("heading", name="Served now: embedded-mipro")).to_be_visible()
        expect(page.locator("#remarks")).to_have_text("On these questions it is not told from its own baseline.")
        card = page.locator("#card")
        for shown in ("75.0 %", "100.0 % (n 2)", "50.0 % (n 2)", "0.0 %"):
            expect(card).to_contain_text(shown)
        expect(card).not_to_contain_text(re.compile("weights|optimized|true|false"))
        card.get_by_text("Show versions").click()
        expect(card.get_by_text("3.4.1")).to_be_visible()


def test_without_a_promoted_program_and_runs_the_page_says_how_to_come_by_them(
    browser: Browser, serving: Serving
) -> None:
    with serving(card=loading.choose(None).card) as served, opened(browser, served.base_url) as page:
        page.goto("/runs")
        expect(state(page)).to_have_text("There are no finished runs yet: python run.py makes one.")
        expect(page.get_by_role("table")).to_be_hidden()
        expect(page.get_by_role("heading", name="Served now: the unoptimized program, asking ")).to_be_visible()
        expect(page.locator("#served.card li")).to_have_text(
            "Nothing is promoted yet: bibleqa promote <run> serves the program of a run."
        )
        expect(page.locator("#card")).to_be_empty()


def test_nothing_in_the_page_comes_from_elsewhere_or_is_written_into_the_markup() -> None:
    for path in PAGE.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|innerHTML|insertAdjacentHTML|document\.write|\sstyle=|\son\w+=", text), path.name
    assert {path.suffix for path in PAGE.iterdir()} == {".html", ".css", ".js", ".svg"}
