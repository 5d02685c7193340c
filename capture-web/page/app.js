// The page: who is there, which views there are, and which one is shown.

import { session as fetchSession, send } from "./parts/api.js";
import { fill, h, name } from "./parts/dom.js";
import { problemBox, say, showProblem, waiting } from "./parts/feedback.js";
import { follow, go, route } from "./parts/router.js";
import { analyse } from "./views/analyse.js";
import { capture } from "./views/capture.js";
import { captures } from "./views/captures.js";
import { compare } from "./views/compare.js";
import { login } from "./views/login.js";
import { report } from "./views/report.js";
import { reports } from "./views/reports.js";
import { start } from "./views/start.js";

const main = document.getElementById("main");

/** What every view gets beside its parts of the address. */
const page = { session: null, signal: null, main, title: null };

/** Views by the first part of the address; `tab` is the link that is marked as current. */
const VIEWS = {
  captures: {
    tab: "captures",
    show: (rest) => (rest.length === 0 ? captures(page) : capture(page, ...rest)),
    live: true,
  },
  start: { tab: "captures", show: () => start(page), live: true },
  analyse: { tab: "analyse", show: (rest) => analyse(page, ...rest) },
  reports: {
    tab: "reports",
    show: (rest) => (rest.length === 0 ? reports(page) : report(page, ["reports", rest[0]], rest[1])),
  },
  compare: { tab: "reports", show: (rest) => compare(page, ...rest) },
  shared: { tab: null, show: (rest) => report(page, ["shared", rest[0] ?? ""], rest[1]), open: true },
};

async function show(parts, signal, isFirst) {
  page.signal = signal;
  try {
    page.session ??= await fetchSession(signal);
  } catch (error) {
    showProblem(main, error);
    return;
  }
  const [first = page.session.live ? "captures" : "analyse", ...rest] = parts;
  const view = VIEWS[first];
  frame(view?.tab);
  fill(main, waiting("Loading …"));
  try {
    if (mustLogIn() && !view?.open) {
      login(page, loggedIn);
    } else if (view === undefined || (view.live && !page.session.live)) {
      unknown(parts);
    } else {
      await view.show(rest);
    }
  } catch (error) {
    if (!signal.aborted) {
      failed(error);
    }
  }
  // A screen reader begins with the heading of the new view.
  if (!isFirst && !signal.aborted) {
    const heading = main.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }
}

/** Sets the heading of the view, which is also the title of the window. */
page.title = (text, ...beside) => {
  document.title = `${text} · Packet recorder`;
  return h("div", { class: "row" }, h("h1", { class: "grow" }, name(text)), beside);
};

function mustLogIn() {
  return page.session.authentication !== "none" && !page.session.user;
}

function unknown(parts) {
  fill(
    main,
    page.title("No such page"),
    h("p", null, "There is nothing at ", h("code", null, route(...parts)), "."),
    h("p", null, h("a", { href: "#/" }, "To the start page")),
  );
}

function failed(error) {
  fill(main, page.title("This could not be shown"), error.name === "Problem" ? problemBox(error) : null);
  if (error.name !== "Problem") {
    throw error;
  }
}

/** The links at the top, and who is logged in. */
function frame(tab) {
  const { session } = page;
  const links = mustLogIn()
    ? []
    : [session.live && ["captures", "Captures"], ["analyse", "Analyse"], ["reports", "Reports"]].filter(Boolean);
  fill(
    document.getElementById("views"),
    links.map(([view, title]) => h("a", { href: route(view), "aria-current": view === tab ? "page" : null }, title)),
  );
  fill(
    document.getElementById("user"),
    session.user &&
      session.authentication !== "none" && [
        h("span", { class: "small" }, name(session.user), h("span", { class: "dim" }, ` (${session.role})`)),
        session.authentication === "accounts" &&
          h("button", { type: "button", class: "quiet small", onclick: logOut }, "Log out"),
      ],
  );
  fill(
    document.getElementById("footer"),
    `capture-web ${session.version}`,
    session.redacted && " · addresses and names in reports are pseudonyms",
  );
}

/** Begins anew, so that nothing of whoever was there before is left in memory. */
function loggedIn() {
  location.reload();
}

async function logOut() {
  try {
    await send("POST", ["logout"]);
  } catch (error) {
    if (error.status !== 401) {
      say(error.message);
      return;
    }
  }
  page.session = null;
  go();
  again();
}

// A session that has ended shows the form again, once, and not for each request that is still under way.
addEventListener("logged-out", () => {
  if (page.session?.user) {
    page.session = null;
    again();
  }
});

// The address of the skip link is not one of a view.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

const again = follow(show);
