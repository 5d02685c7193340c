import assert from "node:assert/strict";

export async function walk(scene) {
  const { page, given } = scene;
  const [before, after] = given.files;
  await scene.upload(before);
  await scene.upload(after);

  await scene.visit("reports");
  await page.getByRole("link", { name: "before.pcap" }).waitFor();
  await scene.accessible("the list of reports");
  const compare = page.getByRole("button", { name: "Compare two" });
  assert.ok(await compare.isDisabled());
  await page.getByLabel("Compare before.pcap").check();
  await page.getByLabel("Compare after.pcap").check();
  await compare.click();
  await page.getByRole("heading", { name: "Measures" }).waitFor();
  await scene.accessible("a comparison");
  const packets = page.locator("tr", { has: page.getByRole("cell", { name: "packets", exact: true }) });
  assert.deepEqual((await packets.locator("td").allInnerTexts()).slice(1, 4), ["21", "1", "−20"]);
  await page.getByRole("link", { name: "Swap" }).click();
  await page.waitForFunction(() => document.querySelector("dl.facts a")?.textContent === "after.pcap");

  await scene.visit("reports");
  await page.getByLabel("Search").fill("AFTER");
  await page.getByRole("link", { name: "before.pcap" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "after.pcap" }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog");
  await scene.accessible("a question");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete the report" }).click();
  await page.getByRole("link", { name: "before.pcap" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "after.pcap" }).count(), 0);
}
