/* The conversation: asks, follows the answer as it comes, and waits where the server cannot answer yet. */

import { Refused, call, events, unless } from "/page/api.js";
import { addText, newTurn, showAnswer, showVerses, spoken } from "/page/turn.js";

const SESSION = "bibleqa.session";
const POLL_SECONDS = 2;
const LONGEST_PAUSE = 60;
const KEPT = "Your question is kept, and asked again by itself.";

const byId = (id) => document.getElementById(id);
const [turns, form, question, context, stop] = ["turns", "ask", "question", "context", "stop"].map(byId);
const submit = form.querySelector("[type=submit]");
let running = null;
let readiness = null;

/** This tab's conversation. `crypto.randomUUID` is not there for a phone that reaches the server by plain HTTP. */
function session() {
  const kept = sessionStorage.getItem(SESSION);
  if (kept) return kept;
  const bits = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const made = bits.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, "$1-$2-4$3-8$4-$5");
  sessionStorage.setItem(SESSION, made);
  return made;
}

function state(text, kind = "") {
  const element = byId("state");
  element.textContent = text;
  element.className = `state ${kind}`;
}

/** Below the earlier turns; the first one is where it should be. */
function bringUp(turn) {
  if (turn.previousElementSibling) turn.scrollIntoView({ block: "start" });
}

/** One button takes another's place, and its focus. */
function swap(from, to) {
  const hadFocus = document.activeElement === from;
  from.hidden = true;
  to.hidden = false;
  if (hadFocus) to.focus();
}

function busy(controller) {
  running = controller;
  const isBusy = controller !== null;
  swap(...(isBusy ? [submit, stop] : [stop, submit]));
  question.readOnly = isBusy;
  turns.setAttribute("aria-busy", String(isBusy));
}

async function ask(asked, given) {
  const controller = new AbortController();
  const turn = newTurn(asked, given);
  turns.append(turn);
  bringUp(turn);
  busy(controller);
  state("Asking …", "working");
  try {
    const answered = await untilAnswered(turn, asked, given, controller.signal);
    showAnswer(turn, answered, feedbackOf(answered.turn));
    // With verses it was brought up as they came, and the reader may be anywhere in them by now.
    if (!answered.citations.length) bringUp(turn);
    byId("spoken").textContent = `Answer: ${spoken(answered)}`;
    state("");
  } catch (error) {
    turn.remove();
    question.value = asked;
    question.focus();
    if (error.name === "AbortError") state("Stopped. Nothing was answered.");
    else if (error instanceof Refused) state(error.message, "error");
    else throw error;
  } finally {
    busy(null);
  }
}

/** Asks, and asks again once the server can answer; other errors are the caller's. */
async function untilAnswered(turn, asked, given, signal) {
  for (let tries = 0; ; tries++) {
    try {
      return await answerOnce(turn, asked, given, signal);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const isReady = (await health()).ready;
      if (isReady && !isPassing(error)) throw error;
      question.value = asked;
      turn.querySelector(".answer").replaceChildren();
      state(`${sentence(error.message)} ${KEPT}`, "waiting");
      // A server that says that it is not ready will say when it is; one that says that it is, is asked less and less.
      if (isReady) await sleep(Math.min(LONGEST_PAUSE, (error.retryAfter ?? POLL_SECONDS) * 2 ** tries), signal);
      else await unless(signal, ready(error.message));
      state("Asking again …", "working");
    }
  }
}

async function answerOnce(turn, asked, given, signal) {
  const body = { question: asked, session_id: session() };
  if (given) body.context = given;
  const path = given ? "/api/dspy/ask_with_context" : "/api/dspy/ask";
  const response = await call(path, { method: "POST", body, accept: "text/event-stream", signal });
  question.value = "";
  state("The answer is coming …", "working");
  for await (const { name, data } of events(response)) {
    if (name === "citations") {
      showVerses(turn, data);
      bringUp(turn);
    } else if (name === "token") addText(turn, data.text);
    else if (name === "answer") return data;
    else if (name === "error") throw new Refused(200, data.error.code, data.error.message);
  }
  throw new Refused(200, "cut", "The answer was cut off. Ask again.");
}

/** Whether waiting may help; a question that took too long once would do so again. */
const isPassing = ({ status, code }) => code === "endpoint_unusable" || ([0, 429, 503].includes(status) && code !== "timeout");

async function health() {
  try {
    const response = await fetch("/health/ready");
    const said = response.headers.get("Content-Type")?.includes("json") ? await response.json() : {};
    return { ready: response.ok, message: said.message ?? said.error?.message };
  } catch (error) {
    if (error instanceof TypeError) return { ready: false, message: "The server does not answer." };
    throw error;
  }
}

/** Resolves when the server can answer, and says meanwhile what it waits for. One watch serves everybody. */
function ready(message) {
  readiness ??= (async () => {
    for (let now = await health(); !now.ready; now = await health()) {
      state(`${sentence(now.message ?? message)} ${running ? KEPT : "You can write your question meanwhile."}`, "waiting");
      await sleep(POLL_SECONDS);
    }
    readiness = null;
  })();
  return readiness;
}

const sentence = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);

const sleep = (seconds, signal) => unless(signal, new Promise((resolve) => setTimeout(resolve, seconds * 1000)));

const feedbackOf = (turn) => async (thumb, correction) => {
  try {
    await call("/api/feedback", { method: "POST", body: { session_id: session(), turn, thumb, correction } });
    return "Thank you, it is recorded.";
  } catch (error) {
    if (error instanceof Refused) return `Not recorded: ${error.message}`;
    throw error;
  }
};

async function showConversation() {
  if (!sessionStorage.getItem(SESSION)) return;
  try {
    const response = await call(`/api/dspy/conversation?session_id=${session()}`);
    const known = (await response.json()).turns;
    turns.prepend(...known.map((answered, number) => {
      const turn = newTurn(answered.question);
      showAnswer(turn, answered, feedbackOf(answered.turn ?? number + 1));
      return turn;
    }));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // Nothing was answered yet, or too long ago.
    if (error.status !== 404) state(error.message, "error");
  }
}

async function showReadiness() {
  const { ready: isReady, message } = await health();
  if (isReady) return;
  await ready(message ?? "The server is not ready.");
  if (!running) state("Ready.");
}

async function showServed() {
  const { served } = await (await call("/health")).json();
  if (!served) return;
  const parts = [`Answered by ${served.name}`];
  if (served.optimized === false) parts.push("nothing is promoted yet");
  // A card has the score alone, or with what else was measured.
  const score = served.score?.score ?? served.score;
  if (typeof score === "number") parts.push(`score ${(score * 100).toFixed(1)} % on its test questions`);
  byId("served").textContent = parts.join(" · ");
}

async function startAnew() {
  running?.abort();
  const old = sessionStorage.getItem(SESSION);
  sessionStorage.removeItem(SESSION);
  turns.replaceChildren();
  form.reset();
  showContextUse();
  question.focus();
  try {
    if (old) await call(`/api/dspy/conversation?session_id=${old}`, { method: "DELETE" });
    state("A new conversation.");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status !== 404) state(`A new conversation. The server may still hold the old one: ${error.message}`, "error");
  }
}

const showContextUse = () => {
  byId("in-use").hidden = !context.value.trim();
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running && question.value.trim()) ask(question.value.trim(), context.value.trim());
});
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
stop.addEventListener("click", () => running?.abort());
byId("new").addEventListener("click", startAnew);
context.addEventListener("input", showContextUse);

await Promise.all([showReadiness(), showConversation()]);
await showServed();
