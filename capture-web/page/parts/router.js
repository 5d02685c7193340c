// Views by the part of the address after "#". A view that is left stops its requests and streams.

/** An address of a view: `route("reports", id)` is `#/reports/ID`. */
export function route(...parts) {
  return `#/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
}

/** Shows another view. */
export function go(...parts) {
  location.hash = route(...parts);
}

/** The parts of the current address. */
export function here() {
  return location.hash
    .replace(/^#\/?/, "")
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    // A lone "%" that somebody typed.
    return part;
  }
}

/**
 * Calls `show(parts, signal)` for the current address and at each change of it.
 * The signal is aborted when the view is left.
 */
export function follow(show) {
  let leave = new AbortController();
  const change = (isFirst) => {
    leave.abort();
    leave = new AbortController();
    show(here(), leave.signal, isFirst);
  };
  addEventListener("hashchange", () => change(false));
  change(true);
  return () => change(false);
}
