import assert from "node:assert/strict";

export async function walk(scene) {
  const { page } = scene;
  await scene.visit();
  await page.getByRole("heading", { name: "No captures can be shown" }).waitFor();
  assert.match(await page.title(), /^Captures/);
  await scene.accessible("the first view");

  // What is wrong and what to do.
  const problem = page.getByRole("alert").first();
  assert.match(await problem.innerText(), /captured/);

  await page.getByRole("link", { name: "analyse a capture file" }).click();
  await page.getByRole("heading", { name: "Analyse a file" }).waitFor();
  await scene.accessible("the place to drop files");

  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "Reports" }).click();
  await page.getByRole("heading", { name: "No reports yet" }).waitFor();
  await scene.accessible("no reports");
  await page.getByRole("main").getByRole("link", { name: "Analyse a file" }).first().click();
  await page.getByRole("button", { name: "Choose files" }).waitFor();

  await scene.visit("start");
  await page.getByRole("heading", { name: "No node answers" }).waitFor();
  await scene.accessible("a start without a node");

  await scene.visit("nowhere");
  await page.getByRole("heading", { name: "No such page" }).waitFor();
  await page.getByRole("link", { name: "To the start page" }).click();
  await page.getByRole("heading", { name: "Captures", exact: true }).waitFor();
}
