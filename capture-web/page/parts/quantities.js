// Quantities as people type them: "10 min", "1.5 GB", "1,000".

import { Problem } from "./api.js";

const SECONDS = {
  s: 1,
  sec: 1,
  second: 1,
  seconds: 1,
  m: 60,
  min: 60,
  minute: 60,
  minutes: 60,
  h: 3600,
  hour: 3600,
  hours: 3600,
  d: 86_400,
  day: 86_400,
  days: 86_400,
};
const BYTES = {
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  gb: 1e9,
  t: 1e12,
  tb: 1e12,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

/** Whole seconds; null if the text is empty. Throws a Problem that names the field. */
export function seconds(text, field) {
  return parsed(text, field, SECONDS, "s", "a time with its unit, such as 90 s, 10 min, 2 h or 1 d");
}

/** Bytes; null if the text is empty. */
export function bytes(text, field) {
  return parsed(text, field, BYTES, "b", "a size with its unit, such as 500 kB, 100 MB or 2 GiB");
}

/** A whole number of at least 1; null if the text is empty. */
export function whole(text, field) {
  return parsed(text, field, { "": 1 }, "", "a whole number of at least 1, such as 1,000");
}

function parsed(text, field, units, usual, form) {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === "") {
    return null;
  }
  const [, figures, unit] = /^([0-9][0-9,_]*(?:\.[0-9]+)?)\s*([a-z]*)$/.exec(trimmed) ?? [];
  const factor = figures === undefined ? undefined : units[unit === "" ? usual : unit];
  const value = Math.round(Number((figures ?? "").replaceAll(/[,_]/g, "")) * (factor ?? NaN));
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new Problem({
      detail: `This is no value for “${field}”.`,
      field,
      value: text,
      fix: `Enter ${form}, or leave it empty.`,
    });
  }
  return value;
}

/** The text that `seconds` reads back. */
export function secondsText(value) {
  if (value === null || value === undefined) {
    return "";
  }
  for (const [unit, size] of [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
  ]) {
    if (value % size === 0) {
      return `${value / size} ${unit}`;
    }
  }
  return `${value} s`;
}

/** The text that `bytes` reads back. */
export function bytesText(value) {
  if (value === null || value === undefined) {
    return "";
  }
  for (const [unit, size] of [
    ["TiB", 1024 ** 4],
    ["TB", 1e12],
    ["GiB", 1024 ** 3],
    ["GB", 1e9],
    ["MiB", 1024 ** 2],
    ["MB", 1e6],
    ["KiB", 1024],
    ["kB", 1e3],
  ]) {
    if (value % size === 0) {
      return `${value / size} ${unit}`;
    }
  }
  return `${value} B`;
}
