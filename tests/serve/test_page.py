"""The page in a real browser: what a person sees, on a desk, on a phone, by keyboard, by screen reader."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import chromium
import page_server
import pytest
from axe_playwright_python.sync_playwright import Axe
from page_server import CREATED, HOSTILE, MARKUP, MEANS, UNREADABLE, WORD_WAS, Conversations
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

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


@pytest.fixture
def server() -> Iterator[Conversations]:
    with page_server.running() as running:
        yield running


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
def page(browser: Browser, server: Conversations) -> Iterator[Page]:
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


def test_a_conversation_goes_on_over_an_endpoint_that_breaks(page: Page, server: Conversations) -> None:
    ask(page, CREATED)
    has_answer(page, CREATED, "God")
    expect(turn(page, CREATED).locator(".reference")).to_have_text("Genesis 1:1")
    server.breaks("The endpoint does not answer.")
    ask(page, MEANS)
    expect(state(page)).to_have_text("The endpoint does not answer. Your question is kept, and asked again by itself.")
    expect(page.get_by_label("Question", exact=True)).to_have_value(MEANS)
    server.mends()
    has_answer(page, MEANS, "Elohim (H430)")
    expect(turn(page, MEANS).locator(".cost")).to_contain_text("1 earlier turn read")
    expect(state(page)).to_be_empty()
    expect(page.get_by_label("Question", exact=True)).to_have_value("")


def test_the_words_of_answer_and_question_are_marked(page: Page) -> None:
    ask(page, CREATED)
    has_answer(page, CREATED, "God")
    verse = turn(page, CREATED).locator("blockquote")
    expect(verse).to_have_text("In the beginning God created the heaven and the earth.")
    expect(verse.locator("mark.answered")).to_have_text(["God"])
    expect(verse.locator("mark.asked")).to_have_text(["created", "heaven", "earth"])


def test_the_words_behind_the_answer_are_shown_and_the_others_on_request(page: Page) -> None:
    ask(page, CREATED)
    ask_is_over(page)
    words = turn(page, CREATED).locator(".word:visible")
    expect(words).to_have_count(1)
    for shown in ("God", "אֱלֹהִים", "ʼĕlôhîym", "H430", "gods; the supreme God; magistrates"):
        expect(words).to_contain_text(shown)
    page.get_by_text("4 other original words").click()
    expect(words).to_have_count(5)


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


def test_an_answer_comes_in_as_it_is_written(page: Page, server: Conversations) -> None:
    server.pause = 0.6
    ask(page, CREATED)
    ask_is_over(page)
    ask(page, MEANS)
    answer = turn(page, MEANS).locator(".answer")
    expect(answer).to_have_text("Elohim", timeout=1500)
    expect(answer).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    has_answer(page, MEANS, "Elohim (H430)")
    expect(page.locator("#spoken[aria-live=polite]")).to_have_text("Answer: Elohim (H430)")


def test_escape_stops_and_gives_the_question_back(page: Page, server: Conversations) -> None:
    server.pause = 30
    ask(page, CREATED)
    expect(state(page)).to_have_text("The answer is coming …")
    page.keyboard.press("Escape")
    expect(state(page)).to_contain_text("Stopped.")
    expect(page.get_by_label("Question", exact=True)).to_have_value(CREATED)
    expect(page.get_by_label("Question", exact=True)).to_be_focused()
    expect(turn(page, CREATED)).to_have_count(0)


def test_an_answer_that_is_cut_off_is_no_answer(page: Page, server: Conversations) -> None:
    server.cuts = True
    ask(page, CREATED)
    expect(state(page)).to_have_text("The answer was cut off. Ask again.")
    expect(page.get_by_label("Question", exact=True)).to_have_value(CREATED)


def test_a_model_that_loads_is_waited_for_from_the_start(browser: Browser, server: Conversations) -> None:
    server.breaks("the model is loading")
    with opened(browser, server.base_url) as page:
        page.goto("/ask")
        expect(state(page)).to_have_text("the model is loading. You can write your question meanwhile.")
        server.mends()
        expect(state(page)).to_have_text("Ready.")


def test_a_server_that_cannot_be_reached_is_waited_for(page: Page) -> None:
    expect(page.locator("#served")).not_to_be_empty()
    page.context.set_offline(True)
    ask(page, CREATED)
    expect(state(page)).to_contain_text("The server does not answer. Your question is kept")
    page.context.set_offline(False)
    has_answer(page, CREATED, "God")


def test_too_many_questions_are_asked_again_when_the_server_says(page: Page, server: Conversations) -> None:
    server.limited = 1
    ask(page, CREATED)
    expect(state(page)).to_contain_text("Too many questions in a minute.")
    has_answer(page, CREATED, "God")


def test_an_endpoint_that_breaks_unnoticed_is_asked_again(page: Page, server: Conversations) -> None:
    server.notices = False
    server.breaks()
    ask(page, CREATED)
    expect(state(page)).to_contain_text("The endpoint does not answer. Your question is kept")
    server.mends()
    has_answer(page, CREATED, "God")


def test_an_answer_that_fails_on_its_way_says_why_and_gives_the_question_back(
    page: Page, server: Conversations
) -> None:
    server.fails = "The model does not hold so long a context."
    ask(page, CREATED)
    expect(state(page)).to_have_text("The model does not hold so long a context.")
    expect(page.get_by_label("Question", exact=True)).to_have_value(CREATED)
    expect(turn(page, CREATED)).to_have_count(0)


def test_a_question_that_is_refused_stays_to_be_mended(page: Page) -> None:
    ask(page, "a" * 2001)
    expect(state(page)).to_have_text("question: at most 2000 characters")
    expect(page.get_by_label("Question", exact=True)).to_have_value("a" * 2001)


def test_a_reply_that_could_not_be_read_is_said_to_be(page: Page) -> None:
    ask(page, UNREADABLE)
    expect(turn(page, UNREADABLE).locator(".answer")).to_contain_text("could not be read")
    expect(turn(page, UNREADABLE).locator(".checks li")).to_have_text(["not empty: passed", "names a verse: failed"])


def test_markup_of_a_model_stays_text(page: Page) -> None:
    ask(page, HOSTILE)
    has_answer(page, HOSTILE, MARKUP)
    assert page.locator("main img, main b").count() == 0


def test_a_token_is_asked_for_once_and_used(browser: Browser, server: Conversations) -> None:
    server.token = "swordfish"
    with opened(browser, server.base_url) as page:
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
        expect(page.get_by_role("row")).to_have_count(2)


def test_a_conversation_is_there_after_a_reload_until_a_new_one_begins(page: Page, server: Conversations) -> None:
    ask(page, CREATED)
    ask_is_over(page)
    page.reload()
    has_answer(page, CREATED, "God")
    page.get_by_role("button", name="New conversation").click()
    expect(state(page)).to_have_text("A new conversation.")
    expect(page.locator(".turn")).to_have_count(0)
    assert server.turns == {}
    ask(page, MEANS)
    has_answer(page, MEANS, "I do not know which verse you mean.")


def test_what_a_reader_thinks_of_an_answer_is_sent(page: Page, server: Conversations) -> None:
    ask(page, CREATED)
    ask_is_over(page)
    shown = turn(page, CREATED)
    shown.get_by_role("button", name="No").click()
    shown.get_by_label("What would be right?").fill("the LORD")
    page.keyboard.press("Enter")
    expect(shown.locator(".thanks")).to_have_text("Thank you, it is recorded.")
    expect(shown.get_by_role("button", name="No")).to_have_attribute("aria-pressed", "true")
    (said,) = server.feedback
    assert {**said, "session_id": ""} == {"session_id": "", "turn": 1, "thumb": "down", "correction": "the LORD"}


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("shape", [{}, PHONE], ids=["desk", "phone"])
def test_the_accessibility_rules_are_kept(
    browser: Browser, server: Conversations, scheme: str, shape: dict[str, Any]
) -> None:
    """Axe's rules: labels, names, roles, contrast of all text that is there (WCAG AA)."""
    with opened(browser, server.base_url, color_scheme=scheme, reduced_motion="reduce", **shape) as page:
        page.goto("/ask")
        for question in (CREATED, MEANS, UNREADABLE):
            ask(page, question)
            ask_is_over(page)
        page.get_by_role("button", name="No").first.click()
        page.get_by_text("Context or reference").click()
        page.locator(".others summary").first.click()
        server.breaks()
        ask(page, WORD_WAS)
        expect(state(page)).to_contain_text("is kept")
        found = [Axe().run(page)]
        page.goto("/runs")
        expect(page.get_by_role("row")).to_have_count(2)
        found.append(Axe().run(page))
        assert [results.generate_report() for results in found if results.violations_count] == []


def test_a_phone_needs_no_scrolling_to_the_side(browser: Browser, server: Conversations) -> None:
    server.runs = [page_server.RUN] * 3
    with opened(browser, server.base_url, **PHONE) as page:
        page.goto("/ask")
        for question in (CREATED, MEANS, "a" * 300):
            ask(page, question)
            ask_is_over(page)
        page.locator(".others summary").first.click()
        page.get_by_text("Context or reference").click()
        assert sideways(page) == 0
        page.goto("/runs")
        expect(page.get_by_role("row")).to_have_count(4)
        assert sideways(page) == 0


def test_the_runs_show_the_leaderboard_and_the_card_of_what_is_served(browser: Browser, server: Conversations) -> None:
    with opened(browser, server.base_url) as page:
        page.goto("/runs")
        row = page.get_by_role("row").nth(1)
        for shown in ("81.3 %", "71.3 to 88.8", "80", "predict", "mipro", "contains", "kjv", "5f0c2a9e"):
            expect(row).to_contain_text(shown)
        expect(page.get_by_role("heading", name="Served now: embedded-mipro")).to_be_visible()
        card = page.locator("#card")
        for shown in ("81.3 %", "90.0 % (n 40)", "12.5 %", "5.0 to 20.0", "Use their own words"):
            expect(card).to_contain_text(shown)
        expect(card).not_to_contain_text("weights")
        card.get_by_text("Show versions").click()
        expect(card.get_by_text("3.4.1")).to_be_visible()


def test_without_runs_the_page_says_how_to_make_one(browser: Browser, server: Conversations) -> None:
    server.runs = []
    with opened(browser, server.base_url) as page:
        page.goto("/runs")
        expect(state(page)).to_have_text("There are no finished runs yet: python run.py makes one.")
        expect(page.get_by_role("table")).to_be_hidden()


def test_nothing_in_the_page_comes_from_elsewhere_or_is_written_into_the_markup() -> None:
    for path in page_server.PAGE.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|innerHTML|insertAdjacentHTML|document\.write|\sstyle=|\son\w+=", text), path.name
    assert {path.suffix for path in page_server.PAGE.iterdir()} == {".html", ".css", ".js", ".svg"}
