import assert from "node:assert/strict";

const MESSAGE = /^The server does not answer; trying again/;

export async function walk(scene) {
  const { page } = scene;
  await scene.visit();
  await page.getByRole("heading", { name: "No captures can be shown" }).waitFor();
  assert.equal(await page.getByText(MESSAGE).count(), 0);

  // Also the icon, which the browser asks for again.
  scene.expectErrors(scene.given.base);
  await scene.ask("stop the server");
  await page.getByText(MESSAGE).waitFor();
  await scene.accessible("a server that is away");

  // What is asked of it meanwhile says why it was not done, and what to do.
  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "Reports" }).click();
  const problem = page.getByRole("alert");
  assert.match(await problem.innerText(), /The server does not answer\.[\s\S]*capture-web runs/);

  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "Captures" }).click();
  await page.getByText(MESSAGE).waitFor();
  await scene.ask("start the server");
  await page.getByText(MESSAGE).waitFor({ state: "detached" });
  await page.getByRole("heading", { name: "No captures can be shown" }).waitFor();
}
