/* Requests to this page's server: its errors, its access token, and the events of a streamed answer. */

const TOKEN = "bibleqa.token";

/** What the server said instead of an answer; status 0 when it said nothing at all. */
export class Refused extends Error {
  constructor(status, code, message, retryAfter = null) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** Resolves to a response that is well; waits for a token where one is wanted. */
export async function call(path, { method = "GET", body, accept = "application/json", signal } = {}) {
  for (;;) {
    const headers = { Accept: accept };
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const response = await reach(path, { method, headers, signal, body: body && JSON.stringify(body) });
    if (response.ok) return response;
    if (response.status !== 401) throw await refusal(response);
    await tokenGiven(token !== null, signal);
  }
}

/** The events of a text/event-stream, each `{name, data}` with data as the JSON it is. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await lost(reader.read());
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split(/\r?\n/);
      const of = (field) => lines.filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).trim());
      // A block with no data is a sign of life.
      if (of("data").length) yield { name: of("event")[0], data: JSON.parse(of("data").join("\n")) };
    }
  }
}

/** A promise of `work` that is given up when `signal` is. */
export function unless(signal, work) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject);
  });
}

const reach = (path, options) => lost(fetch(path, options));

/** The browser has one TypeError for all that goes wrong with a connection. */
async function lost(work) {
  try {
    return await work;
  } catch (error) {
    if (error instanceof TypeError) throw new Refused(0, "unreachable", "The server does not answer.");
    throw error;
  }
}

async function refusal(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  const retryAfter = seconds > 0 ? seconds : null;
  const isJson = response.headers.get("Content-Type")?.includes("json");
  // A proxy in between has words of its own.
  const error = (isJson && (await response.json()).error) || { code: "http", message: `The server answered ${response.status}.` };
  return new Refused(response.status, error.code, error.message, retryAfter);
}

function tokenGiven(wrong, signal) {
  const form = document.getElementById("token");
  const input = document.getElementById("token-value");
  const hint = document.getElementById("token-hint");
  if (wrong) hint.textContent = "The server does not take this token.";
  const before = document.activeElement;
  form.hidden = false;
  input.focus();
  const given = new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN, input.value);
      form.hidden = true;
      before.focus();
      resolve();
    }, { once: true });
  });
  return unless(signal, given);
}
