// Elements, built without markup: whatever a name or a packet says is text and stays text.

const HANDLER = /^on[a-z]+$/;
// Set as properties, because their attributes only hold the first value.
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open", "files", "indeterminate"]);

/**
 * An element with attributes and children.
 *
 * Attributes that are null or false are left out, `true` sets an empty one, `onclick` and the like take functions.
 * Children are nodes, text, numbers, or arrays of them; null, undefined and false are left out.
 */
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    set(element, key, value);
  }
  add(element, children);
  return element;
}

function set(element, key, value) {
  if (HANDLER.test(key)) {
    element.addEventListener(key.slice(2), value);
  } else if (PROPERTIES.has(key)) {
    if (value !== null && value !== undefined) {
      element[key] = value;
    }
  } else if (value === true) {
    element.setAttribute(key, "");
  } else if (value !== null && value !== undefined && value !== false) {
    element.setAttribute(key, String(value));
  }
}

/** Appends children as `h` takes them. */
export function add(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child);
    }
  }
}

/** Replaces all children of an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, ...children);
  return element;
}

// Control characters, and those that change the direction of what follows: "\u202Egpj.exe" would be read as "exe.jpg".
const CONTROLS = /([\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff])/;

/** A name from outside as it is: what cannot be seen is shown by its number, and the name cannot reorder its surroundings. */
export function name(text) {
  const parts = String(text).split(CONTROLS);
  return h(
    "bdi",
    { class: "name" },
    parts.map((part, at) => (at % 2 === 0 ? part : h("span", { class: "control" }, codePoint(part)))),
  );
}

function codePoint(character) {
  return `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

let lastId = 0;

/** An id that no other element of the page has. */
export function freshId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}
