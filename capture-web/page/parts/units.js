// Numbers for people. "Unknown" is written as such and never as 0.

const UNKNOWN = "unknown";
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function known(value) {
  return value !== null && value !== undefined;
}

/** 1,234,567. */
export function number(value) {
  return known(value) ? grouped.format(value) : UNKNOWN;
}

/** "1 packet", "2 packets". */
export function count(value, one, several = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : several}`;
}

function scaled(value, units, base) {
  let step = 0;
  let rest = value;
  while (rest >= base && step + 1 < units.length) {
    rest /= base;
    step += 1;
  }
  const digits = (step === 0 && Number.isInteger(rest)) || rest >= 100 ? 0 : rest < 10 ? 2 : 1;
  return `${rest.toFixed(digits)} ${units[step]}`.trimEnd();
}

/** 1.23 MB. */
export function bytes(value) {
  return known(value) ? scaled(value, ["B", "kB", "MB", "GB", "TB", "PB"], 1000) : UNKNOWN;
}

/** 1.23 Mbit/s, of bits per second. */
export function bitRate(value) {
  return scaled(value, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], 1000);
}

/** 1.23 k/s, or 1.23 k packets/s. */
export function rate(value, what = "") {
  return `${scaled(value, ["", "k", "M", "G"], 1000)}${what && ` ${what}`}/s`;
}

/** 12.3 %, of a share from 0 to 1. */
export function percent(share) {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** 1.5 ms, of nanoseconds. */
export function duration(nanoseconds) {
  if (!known(nanoseconds)) {
    return UNKNOWN;
  }
  const seconds = nanoseconds / 1e9;
  if (seconds === 0) {
    return "0 s";
  }
  if (seconds < 1e-3) {
    return `${(seconds * 1e6).toFixed(1)} µs`;
  }
  if (seconds < 1) {
    return `${(seconds * 1e3).toFixed(1)} ms`;
  }
  if (seconds < 120) {
    return `${seconds.toFixed(2)} s`;
  }
  if (seconds < 7200) {
    return `${(seconds / 60).toFixed(1)} min`;
  }
  if (seconds < 172_800) {
    return `${(seconds / 3600).toFixed(1)} h`;
  }
  return `${(seconds / 86_400).toFixed(1)} d`;
}

/** 2026-01-01 10:00:00 UTC, of a time of RFC 3339 or of milliseconds since 1970. */
export function moment(time) {
  const date = new Date(time);
  if (!known(time) || Number.isNaN(date.getTime())) {
    return UNKNOWN;
  }
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** "3 min ago", or "in 2.0 h", of a time of RFC 3339. */
export function distance(time, now = Date.now()) {
  const milliseconds = now - new Date(time).getTime();
  if (Number.isNaN(milliseconds)) {
    return UNKNOWN;
  }
  const size = Math.abs(milliseconds);
  const text = span(size);
  return milliseconds >= 0 ? `${text} ago` : `in ${text}`;
}

/** "45 s", "3 min", "2 h 5 min", of milliseconds. */
export function span(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 120) {
    return `${seconds} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) {
    return `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  }
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `10.0.0.1:443` or `[2001:db8::1]:443`, of an end of a conversation. */
export function end(one) {
  if (!known(one.port)) {
    return one.address;
  }
  return one.address.includes(":") ? `[${one.address}]:${one.port}` : `${one.address}:${one.port}`;
}
