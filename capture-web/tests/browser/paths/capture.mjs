import assert from "node:assert/strict";

import { packetsIn } from "../scene.mjs";

export async function walk(scene) {
  const { page, given } = scene;
  await scene.visit();
  await page.getByRole("heading", { name: "No captures yet" }).waitFor();
  await scene.accessible("no captures");
  await start(scene);

  await page.getByText("running", { exact: true }).waitFor();
  await scene.ask("send packets");
  await count(page, "written", given.packets);
  assert.equal(await term(page, "seen"), given.packets);
  // Finished files appear while the capture runs, and can be analysed.
  await page.getByRole("region", { name: "Files" }).getByRole("link").first().waitFor();
  await page.getByRole("button", { name: "Analyse" }).waitFor();
  await scene.accessible("a running capture");
  await change(scene);

  await page.getByRole("link", { name: "← Captures" }).click();
  const card = page.locator("[data-capture='web']");
  await card.getByText("running", { exact: true }).waitFor();
  await scene.accessible("the list of captures");
  await card.getByRole("button", { name: "Stop" }).click();
  await card.getByText("completed", { exact: true }).waitFor();

  await card.getByRole("link", { name: "web", exact: true }).click();
  await page.getByText("✓ adds up").waitFor();
  assert.equal(await term(page, "written"), given.packets);
  await downloads(scene);
  await scene.accessible("an ended capture");

  await page.getByRole("button", { name: "Analyse" }).click();
  await page.waitForURL(/#\/reports\//);
  await page.getByRole("heading", { level: 1, name: "web" }).waitFor();
  await page
    .locator("dl.facts > div", { hasText: /^Packets/ })
    .getByText(String(given.packets))
    .waitFor();

  await scene.visit("captures/web");
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete the capture" }).click();
  await page.getByRole("heading", { name: "No captures yet" }).waitFor();
}

async function start(scene) {
  const { page } = scene;
  await page.getByRole("main").getByRole("link", { name: "Start a capture" }).first().click();
  await page.getByRole("heading", { name: "Start a capture" }).waitFor();
  await scene.accessible("the form");

  // The node compiles the expression while it is typed.
  await page.getByLabel("Expression").fill("udp prt 4001");
  await page.locator(".verdict.bad").waitFor();
  assert.equal(await page.getByLabel("Expression").getAttribute("aria-invalid"), "true");
  await page.getByLabel("Expression").fill("udp port 4001");
  await page.locator(".verdict.good").waitFor();

  // A wrong value names its field, and nothing is sent.
  await page.getByLabel("Time").fill("soon");
  await page.getByLabel("Name", { exact: true }).fill("web");
  const any = page.getByRole("checkbox", { name: /^any/ });
  await any.uncheck();
  await page.getByRole("checkbox", { name: /^eth0/ }).check();
  const submit = page.getByRole("button", { name: "Start", exact: true });
  await submit.click();
  assert.match(await page.getByRole("alert").innerText(), /Time[\s\S]*soon[\s\S]*10 min/);
  assert.equal(await page.getByLabel("Time").getAttribute("aria-invalid"), "true");
  assert.ok(await page.getByLabel("Time").evaluate((input) => input === document.activeElement));
  await page.getByLabel("Time").fill("1 h");
  await page.getByText("Packets and files in detail").click();
  await page.getByLabel("Next file at").fill("4 KiB");
  await submit.click();
  await page.getByRole("heading", { level: 1, name: "web" }).waitFor();
}

async function change(scene) {
  const { page } = scene;
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByLabel("Expression").fill("udp");
  await page.locator(".verdict.good").waitFor();
  await scene.accessible("a change");
  await page.getByRole("button", { name: "Save the changes" }).click();
  await page.locator("main p code", { hasText: /^udp$/ }).first().waitFor();
}

async function downloads(scene) {
  const { page, given } = scene;
  const merged = await scene.download(page.getByRole("link", { name: "Download merged" }));
  assert.equal(packetsIn(merged.bytes), given.packets);
  const file = await scene.download(page.getByRole("region", { name: "Files" }).getByRole("link").first());
  assert.match(file.name, /^web-/);
  assert.ok(file.bytes.length > 0);
}

/** A term of the ledger. */
async function term(page, title) {
  const text = await page.locator(`[data-term='${title}'] b`).first().innerText();
  return Number(text.replaceAll(",", ""));
}

/** Waits until a term of the ledger has a value. */
function count(page, title, value) {
  return page.waitForFunction(
    ([name, expected]) =>
      document.querySelector(`[data-term='${name}'] b`)?.textContent.replaceAll(",", "") === String(expected),
    [title, value],
  );
}
