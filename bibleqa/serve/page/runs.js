/* The leaderboard, and the card of the model that is served. */

import { Refused, call } from "/page/api.js";
import { copy } from "/page/turn.js";

const NAMES = { ci95: "95 % interval", n: "questions" };
// The rest of a card is for those who look for it.
const OPEN = ["score", "baseline", "improvement"];

const named = (name) => NAMES[name] ?? name.replaceAll("_", " ");
const byId = (id) => document.getElementById(id);
const percent = (value) => `${(value * 100).toFixed(1)} %`;
const span = ([low, high]) => `${(low * 100).toFixed(1)} to ${(high * 100).toFixed(1)}`;
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
const element = (name, ...content) => {
  const made = document.createElement(name);
  made.append(...content);
  return made;
};

/** A value that is one line of text; null for one that is not. */
function line(name, value) {
  if (["score", "value"].includes(name) && typeof value === "number") return percent(value);
  if (name === "ci95" && Array.isArray(value)) return span(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (["date", "promoted"].includes(name)) return String(value).slice(0, 16).replace("T", " ");
  if (name === "fingerprint") return String(value).slice(0, 8);
  return typeof value === "object" ? null : String(value);
}

function row(run) {
  const made = copy("run");
  for (const cell of made.querySelectorAll("[data-of]")) {
    const name = cell.dataset.of;
    cell.textContent = line(name, run[name] ?? "");
  }
  return made;
}

const isEmpty = (value) => value === null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);

/** Fields with their names, whatever they are made of. */
function fields(card, shownAs = shown) {
  return Object.entries(card)
    .filter(([, value]) => !isEmpty(value))
    .flatMap(([name, value]) => [element("dt", named(name)), element("dd", shownAs(name, value))]);
}

function shown(name, value) {
  const text = line(name, value);
  if (text !== null) return text;
  if (Array.isArray(value)) return element("ol", ...value.map((one) => element("li", shown("", one))));
  return name === "by_type" ? fold(name, element("dl", ...fields(value, ofType))) : element("dl", ...fields(value));
}

/** The score of a type of questions: a number, or one with its n. */
const ofType = (_, one) => (typeof one === "number" ? percent(one) : `${percent(one.score)} (n ${one.n})`);

function folded(name, value) {
  if (line(name, value) !== null || OPEN.includes(name)) return shown(name, value);
  return fold(name, shown(name, value));
}

const fold = (name, content) => element("details", element("summary", `Show ${named(name)}`), content);

try {
  const { runs, served } = await (await call("/api/runs")).json();
  byId("rows").replaceChildren(...runs.map(row));
  byId("wide").hidden = byId("places").hidden = runs.length === 0;
  if (served) {
    // The remarks say in words what the flags mean.
    const { name, remarks = [], optimized, unchanged, schema, ...card } = served;
    byId("served-name").textContent = name;
    byId("remarks").replaceChildren(...remarks.map((remark) => element("li", sentence(remark))));
    byId("card").replaceChildren(...fields(card, folded));
    byId("served").hidden = false;
  }
  byId("state").textContent = runs.length ? "" : "There are no finished runs yet: python run.py makes one.";
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  byId("state").textContent = error.message;
  byId("state").className = "state error";
}
