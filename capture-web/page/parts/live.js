// The captures of all nodes as they are now, with the rates of the last minutes.

import { address, stream } from "./api.js";

// Five minutes, at one event a second.
const SAMPLES = 300;
// The server tells counts once a second, and those alone that have changed.
const TICK_MS = 1000;
const SILENT_SECONDS = 1.5;
// Many captures send within a moment: they are drawn together.
const TOGETHER_MS = 100;
const COUNTS = ["seen", "written", "lost"];

// Kept while views change, so that a plot does not begin anew with each look.
const histories = new Map();

const keyOf = (node, name) => `${node}\n${name}`;

/**
 * Follows the captures.
 *
 * @param {AbortSignal} signal Ends it.
 * @param {function(Live)} onchange Called after changes.
 */
export function watch(signal, onchange) {
  const live = new Live();
  let timer = 0;
  const changed = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      onchange(live);
    }, TOGETHER_MS);
  };
  const ticks = setInterval(() => {
    live.tick();
    changed();
  }, TICK_MS);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    clearInterval(ticks);
  });
  stream(address(["captures", "events"]), signal, {
    events: {
      capture: (event) => {
        live.put(event.capture);
        changed();
      },
      deleted: (event) => {
        live.remove(event.node, event.capture?.name);
        changed();
      },
      synced: (event) => {
        live.synced(event.node);
        changed();
      },
      problem: (event) => {
        live.lost(event.node, event.problem);
        changed();
      },
    },
    onlost: () => {
      live.connected = false;
      changed();
    },
    onback: () => {
      live.begin();
      changed();
    },
  });
  return live;
}

class Live {
  /** Captures by node and name. */
  captures = new Map();
  /** Nodes that cannot be watched, with the reason. */
  problems = new Map();
  connected = true;
  /** Whether at least one node has sent all it has. */
  ready = false;
  #fresh = new Set();

  /** A new connection: what is not sent again is gone. */
  begin() {
    this.connected = true;
    this.#fresh.clear();
  }

  put(capture) {
    const key = keyOf(capture.node, capture.name);
    this.captures.set(key, capture);
    this.#fresh.add(key);
    this.problems.delete(capture.node);
    sample(key, capture);
  }

  /** Of running captures that nothing was told of, the counts have not changed. */
  tick() {
    const now = Date.now() / 1000;
    for (const [key, capture] of this.captures) {
      const last = histories.get(key)?.at(-1);
      const isWatched = this.connected && !this.problems.has(capture.node);
      if (isWatched && !capture.ended && last && now - last.time > SILENT_SECONDS) {
        sample(key, capture, true);
      }
    }
  }

  /** A node cannot be watched. When it can be again, it sends all it has. */
  lost(node, problem) {
    this.ready = true;
    this.problems.set(node, problem);
    for (const [key, capture] of this.captures) {
      if (capture.node === node) {
        this.#fresh.delete(key);
      }
    }
  }

  remove(node, name) {
    const key = keyOf(node, name);
    this.captures.delete(key);
    histories.delete(key);
  }

  synced(node) {
    this.ready = true;
    this.problems.delete(node);
    for (const [key, capture] of this.captures) {
      if (capture.node === node && !this.#fresh.has(key)) {
        this.remove(node, capture.name);
      }
    }
  }

  /** Captures of the same name, over all nodes; the running ones first, then by name. */
  groups() {
    const groups = new Map();
    for (const capture of this.captures.values()) {
      const group = groups.get(capture.name) ?? { name: capture.name, captures: [] };
      group.captures.push(capture);
      groups.set(capture.name, group);
    }
    const order = (group) => (group.captures.every((capture) => capture.ended) ? 1 : 0);
    return [...groups.values()].sort(
      (one, other) => order(one) - order(other) || one.name.localeCompare(other.name, "en", { numeric: true }),
    );
  }
}

function sample(key, capture, isSilent = false) {
  const history = histories.get(key) ?? [];
  const now = { time: Date.now() / 1000, isSilent, created: capture.created };
  for (const count of COUNTS) {
    now[count] = capture.ledger[count] ?? null;
  }
  // A later capture of the same name begins anew.
  if (history.length > 0 && history[0].created !== now.created) {
    history.length = 0;
  }
  // Counts are of a whole second: one that was taken for silence was late, and would make a peak of the next.
  while (!isSilent && history.at(-1)?.isSilent && now.time - history.at(-1).time < TICK_MS / 1000) {
    history.pop();
  }
  history.push(now);
  if (history.length > SAMPLES) {
    history.shift();
  }
  histories.set(key, history);
}

/**
 * Packets per second of captures together: `{times, seen, written, lost}`. Where a count is not known the rate is null.
 */
export function rates(captures) {
  // One that has ended has no rate now; of none that runs, the last minutes are shown.
  const running = captures.filter((capture) => !capture.ended);
  const shown = running.length > 0 ? running : captures;
  const perCapture = shown.map((capture) => perSecond(histories.get(keyOf(capture.node, capture.name)) ?? []));
  const times = perCapture.reduce((longest, one) => (one.times.length > longest.length ? one.times : longest), []);
  const sums = { times };
  for (const count of COUNTS) {
    sums[count] = times.map((_, at) => {
      // Series are aligned at their ends: every node sends once a second.
      const values = perCapture
        .map((one) => one[count][one.times.length - times.length + at])
        .filter((value) => value !== undefined);
      return values.includes(null) ? null : values.reduce((sum, value) => sum + value, 0);
    });
  }
  return sums;
}

function perSecond(history) {
  const found = { times: [], seen: [], written: [], lost: [] };
  for (let at = 1; at < history.length; at += 1) {
    const [before, now] = [history[at - 1], history[at]];
    const time = now.time - before.time;
    // Several events within a moment would make peaks of nothing.
    if (time < 0.2) {
      continue;
    }
    found.times.push(now.time);
    for (const count of COUNTS) {
      const known = now[count] !== null && before[count] !== null && now[count] >= before[count];
      found[count].push(known ? (now[count] - before[count]) / time : null);
    }
  }
  return found;
}

/** The sum of the ledgers of captures; a count that one does not know is not known. */
export function sumOf(captures) {
  const sum = (read) =>
    captures
      .map(read)
      .reduce((total, value) => (total === null || value === undefined || value === null ? null : total + value), 0);
  const ledger = { discarded: {} };
  for (const key of [
    "seen",
    "filtered",
    "matched",
    "submitted",
    "ring_full",
    "unreadable",
    "duplicate",
    "written",
    "truncated",
    "lost",
  ]) {
    ledger[key] = sum((capture) => capture.ledger[key]);
  }
  for (const key of ["queue_full", "disk_full", "write_error", "stopped"]) {
    ledger.discarded[key] = sum((capture) => capture.ledger.discarded[key]);
  }
  return ledger;
}
