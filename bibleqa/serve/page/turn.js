/* One question with its answer: verses and words as cards, checks, what it cost, and what the reader thinks of it. */

const COMMON = new Set(
  ("a an and are as at be been but by did do does for from had has have he her here his how i in is it its me mean means " +
    "my not of on or our said says she so that the their them then there these they this those to unto upon us was were " +
    "what when where which who whom whose why will with ye you your").split(" "),
);
// How a verse came, where the retriever's name would say it to nobody.
const FOUND = { fts: "found by its words", embeddings: "found by its meaning", hybrid: "found by words and meaning" };
const WORD = /[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)*/gu;

/** A copy of the page's template of that name. */
export const copy = (name) => document.getElementById(name).content.firstElementChild.cloneNode(true);

/** A turn that waits for its answer. */
export function newTurn(question, context) {
  const turn = copy("turn");
  turn.querySelector(".question").textContent = question;
  const given = turn.querySelector(".given");
  given.hidden = !context;
  given.textContent = context ? `Context: ${context}` : "";
  return turn;
}

/** Adds text to an answer that is on its way. */
export function addText(turn, text) {
  turn.querySelector(".answer").append(text);
}

/** The verses as cards, with the words of question and answer marked. */
export function showVerses(turn, citations, answer = "") {
  const sought = { asked: folded(turn.querySelector(".question").textContent), answered: folded(answer) };
  turn.querySelector(".verses").hidden = citations.length === 0;
  turn.querySelector(".verses > ul").replaceChildren(...citations.map((citation) => verse(citation, sought)));
}

/** The whole answer in the place of what has come of it. */
export function showAnswer(turn, answered, sendFeedback) {
  const answer = turn.querySelector(".answer");
  answer.setAttribute("aria-busy", "false");
  answer.classList.toggle("unreadable", answered.answer === null);
  answer.textContent = spoken(answered);
  showVerses(turn, answered.citations ?? [], answered.answer ?? "");
  const checks = Object.entries(answered.checks ?? {});
  turn.querySelector(".checks").hidden = checks.length === 0;
  turn.querySelector(".checks ul").replaceChildren(...checks.map(check));
  turn.querySelector(".cost").textContent = cost(answered);
  turn.querySelector(".after").hidden = false;
  listenForFeedback(turn.querySelector(".feedback"), sendFeedback);
}

/** The answer in words, also where there is none. */
export const spoken = (answered) => answered.answer ?? "The model's reply could not be read as an answer. Ask again, or in other words.";

function verse(citation, sought) {
  const card = copy("verse");
  card.querySelector(".reference").textContent = citation.reference;
  card.querySelector(".found").textContent = FOUND[citation.found] ?? citation.found;
  card.querySelector(".text").append(...marked(citation.text, sought));
  const matching = matchingWords(citation.words, sought);
  const others = citation.words.filter((word) => !matching.includes(word));
  const [shown, rest] = card.querySelectorAll(".words");
  shown.hidden = matching.length === 0;
  shown.append(...matching.map((word) => wordCard(word, sought)));
  rest.append(...others.map((word) => wordCard(word, sought)));
  const details = card.querySelector(".others");
  details.hidden = others.length === 0;
  const noun = others.length === 1 ? "word" : "words";
  details.querySelector("summary").textContent = `${others.length} ${matching.length ? "other " : ""}original ${noun}`;
  return card;
}

/** The words behind the answer; behind the question where the answer is in none. */
function matchingWords(candidates, sought) {
  const behind = (name) => candidates.filter((word) => words(`${word.text} ${word.strongs}`).some((one) => kind(one, sought) === name));
  const answered = behind("answered");
  return answered.length ? answered : behind("asked");
}

function wordCard(word, sought) {
  const card = copy("word");
  const language = word.strongs.startsWith("G") ? "el" : "he";
  const lemma = card.querySelector(".lemma");
  lemma.lang = language;
  lemma.dir = language === "he" ? "rtl" : "ltr";
  lemma.textContent = word.lemma;
  const transliteration = card.querySelector(".transliteration");
  transliteration.lang = `${language}-Latn`;
  transliteration.textContent = word.transliteration;
  card.querySelector(".english").append(...marked(word.text, sought));
  card.querySelector(".strongs").append(...marked(word.strongs, sought));
  card.querySelector(".gloss").textContent = fold(word.gloss) === fold(word.text) ? "" : word.gloss;
  return card;
}

/** The text as nodes, of which those sought are marks. */
function marked(text, sought) {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(WORD)) {
    const name = kind(found[0], sought);
    if (!name) continue;
    const mark = document.createElement("mark");
    mark.className = name;
    mark.textContent = found[0];
    nodes.push(text.slice(end, found.index), mark);
    end = found.index + found[0].length;
  }
  return [...nodes, text.slice(end)];
}

const words = (text) => text.match(WORD) ?? [];
// God's, heavens: one s makes no other word.
const fold = (word) => word.toLowerCase().replace(/['’]?s$/, "");
const folded = (text) => new Set(words(text).filter((word) => !COMMON.has(word.toLowerCase())).map(fold));
const kind = (word, { answered, asked }) => (answered.has(fold(word)) ? "answered" : asked.has(fold(word)) ? "asked" : "");

function check([name, passed]) {
  const item = document.createElement("li");
  item.className = passed ? "passed" : "failed";
  item.textContent = `${name.replaceAll("_", " ")}: ${passed ? "passed" : "failed"}`;
  return item;
}

function cost({ by, seconds = {}, attempts = 1, salvaged, ended, turn, history_length: history }) {
  const parts = Object.entries(seconds).map(([part, value]) => `${part} ${value.toFixed(2)} s`);
  if (attempts > 1) parts.push(`${attempts} attempts`);
  if (by === "lexicon") parts.unshift("looked up in the lexicon, no model was asked");
  if (salvaged) parts.push(`reply salvaged: ${salvaged}`);
  if (ended) parts.push(`ended: ${ended}`);
  if (turn !== undefined) parts.push(`turn ${turn}`);
  if (history) parts.push(`${history} earlier ${history === 1 ? "turn" : "turns"} read`);
  return parts.join(" · ");
}

function listenForFeedback(form, send) {
  const thanks = form.querySelector(".thanks");
  const choose = (chosen) => {
    for (const button of form.querySelectorAll("fieldset button")) button.setAttribute("aria-pressed", String(button === chosen));
    form.querySelector(".correction").hidden = chosen.value !== "down";
  };
  const deliver = async (thumb, correction) => {
    thanks.textContent = await send(thumb, correction);
  };
  form.addEventListener("click", (event) => {
    const button = event.target.closest("fieldset button");
    if (!button) return;
    choose(button);
    if (button.value === "up") deliver("up", null);
    else form.elements.correction.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (form.querySelector(".correction").hidden) return;
    deliver("down", form.elements.correction.value.trim() || null);
  });
}
