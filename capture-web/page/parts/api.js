// Requests to the HTTP API. Addresses are relative, so that the page also works below a path of a proxy.

const API = "api/v1/";
// Between two attempts to follow a stream.
const RECONNECT_MS = 3000;

let csrf = null;

/** Why the server did not do what was asked: problem+json, or what is known where there is none. */
export class Problem extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || "The server did not say why.");
    this.name = "Problem";
    this.status = problem.status ?? 0;
    this.title = problem.title ?? "";
    this.field = problem.field ?? null;
    this.value = problem.value ?? null;
    this.fix = problem.fix ?? null;
    this.retryAfter = problem.retry_after ?? null;
  }

  /** The server did not answer at all. */
  static unreachable() {
    return new Problem({
      title: "The server does not answer.",
      detail: "The server does not answer.",
      fix: "Check that capture-web runs and that this computer reaches it, then try again.",
    });
  }

  /** From the body of an answer. */
  static of(status, text) {
    try {
      const body = JSON.parse(text);
      if (body !== null && typeof body === "object") {
        return new Problem({ ...body, status });
      }
    } catch {
      // A proxy in between answers with a page of its own.
    }
    return new Problem({ status, detail: `The server answered with status ${status}.` });
  }
}

/** The address of a resource: `address("reports", id, "html")`, with a query from an object. */
export function address(parts, query = {}) {
  const path = parts.map((part) => encodeURIComponent(part)).join("/");
  const search = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== ""),
  ).toString();
  return `${API}${path}${search === "" ? "" : `?${search}`}`;
}

/** Headers that a request which changes something must have. */
export function proof() {
  return csrf === null ? {} : { "X-CSRF-Token": csrf };
}

/** The session, which also renews the proof. */
export async function session(signal) {
  const found = await get(["session"], {}, signal);
  csrf = found.csrf ?? null;
  return found;
}

/** Reads a resource. */
export function get(parts, query, signal) {
  return ask("GET", address(parts, query), { signal });
}

/** Sends a POST, PATCH or DELETE; `body` is sent as JSON. */
export function send(method, parts, { body, query } = {}) {
  const options = { headers: proof() };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  return ask(method, address(parts, query), options);
}

async function ask(method, url, options) {
  let answer;
  let text;
  try {
    answer = await fetch(url, { method, credentials: "same-origin", ...options });
    text = await answer.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : Problem.unreachable();
  }
  if (!answer.ok) {
    throw refused(answer.status, text);
  }
  return text === "" ? null : JSON.parse(text);
}

/** The problem of an answer that is an error; that the session has ended is told to the whole page. */
export function refused(status, text) {
  if (status === 401) {
    dispatchEvent(new CustomEvent("logged-out"));
  }
  return Problem.of(status, text);
}

/**
 * Follows a stream of server-sent events until the signal is aborted, and connects again when it breaks.
 *
 * @param {string} url
 * @param {AbortSignal} signal
 * @param {{events: Object<string, function(object)>, onlost: function(), onback: function()}} handlers
 * @returns {function()} Ends it.
 */
export function stream(url, signal, { events, onlost, onback }) {
  let source = null;
  let timer = 0;
  let ended = signal.aborted;
  const open = () => {
    source = new EventSource(url);
    for (const [type, handle] of Object.entries(events)) {
      source.addEventListener(type, (event) => handle(JSON.parse(event.data)));
    }
    source.onopen = () => onback?.();
    source.onerror = () => {
      onlost?.();
      // After an answer that is an error, such as one to an ended session, the browser gives up.
      if (source.readyState === EventSource.CLOSED) {
        clearTimeout(timer);
        timer = setTimeout(again, RECONNECT_MS);
      }
    };
  };
  const again = async () => {
    try {
      await logInIfNeeded(signal);
    } catch {
      // The next attempt tells.
    }
    if (!ended) {
      open();
    }
  };
  const close = () => {
    ended = true;
    clearTimeout(timer);
    source?.close();
  };
  if (!ended) {
    open();
    signal.addEventListener("abort", close, { once: true });
  }
  return close;
}

/** Says that the session has ended, if it has: a stream cannot tell that from other errors. */
async function logInIfNeeded(signal) {
  const { user, authentication } = await session(signal);
  if (!user && authentication !== "none") {
    dispatchEvent(new CustomEvent("logged-out"));
  }
}
