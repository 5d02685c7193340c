// The login form.

import { send } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { work } from "../parts/feedback.js";

/** Shows the form; `done` is called after the login. */
export function login(page, done) {
  if (page.session.authentication === "proxy") {
    fill(
      page.main,
      page.title("Log in"),
      h(
        "p",
        null,
        "This server takes your name from the proxy in front of it, and the proxy sent none. Open the page through the proxy.",
      ),
    );
    return;
  }
  const user = h("input", { id: "user-name", autocomplete: "username", required: true, autofocus: true });
  const password = h("input", { id: "password", type: "password", autocomplete: "current-password", required: true });
  const place = h("div");
  const button = h("button", null, "Log in");
  const onsubmit = (event) => {
    event.preventDefault();
    work(button, place, async () => {
      try {
        await send("POST", ["login"], { body: { user: user.value, password: password.value } });
      } catch (error) {
        password.value = "";
        password.focus();
        throw error;
      }
      done();
    });
  };
  fill(
    page.main,
    h(
      "form",
      { class: "login card stack", onsubmit },
      page.title("Log in"),
      h("div", { class: "field" }, h("label", { for: "user-name" }, "Name"), user),
      h("div", { class: "field" }, h("label", { for: "password" }, "Password"), password),
      place,
      h("div", null, button),
      h("p", { class: "dim small" }, "Accounts are made by whoever runs this server."),
    ),
  );
  user.focus();
}
