import assert from "node:assert/strict";

import { packetsIn } from "../scene.mjs";

const TABS = ["Over time", "Conversations", "DNS", "HTTP", "Protocols", "Files"];

export async function walk(scene) {
  const { page } = scene;
  await drop(scene);
  await page.getByRole("heading", { name: "incident.pcap" }).waitFor();
  await scene.accessible("a report");

  // The score has terms, and the findings begin with the worst.
  assert.match(await page.locator(".score").innerText(), /^\d+\s*of 100/);
  const severities = await page.locator("details.finding .badge").allInnerTexts();
  const rank = severities.map((severity) => ["critical", "warning", "notice"].indexOf(severity));
  assert.ok(rank.length >= 2, `findings: ${severities}`);
  assert.deepEqual(rank, [...rank].sort());

  await packetsOfAFinding(scene);
  await page.getByRole("button", { name: /^critical/ }).click();
  assert.equal(await page.locator("details.finding.critical").count(), 0, "a severity can be hidden");
  await page.getByRole("button", { name: /^critical/ }).click();

  for (const tab of TABS) {
    await page.getByRole("navigation", { name: "Parts of the report" }).getByRole("link", { name: tab }).click();
    await page.locator(`.tabs a[aria-current]`, { hasText: tab }).waitFor();
    await scene.accessible(tab);
  }
  await plots(scene);
  await conversations(scene);

  const json = await scene.download(page.getByRole("link", { name: "JSON" }));
  assert.equal(JSON.parse(json.bytes).schema, "capture.report/v1");
  const html = await scene.download(page.getByRole("link", { name: "HTML" }));
  assert.match(html.bytes.toString(), /^<!DOCTYPE html>/);
}

/** Drops the file onto the page, as a mouse would. */
async function drop(scene) {
  const { page, given } = scene;
  await scene.visit("analyse");
  const content = (await import("node:fs")).readFileSync(given.file).toString("base64");
  const data = await page.evaluateHandle((text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "incident.pcap"));
    return transfer;
  }, content);
  await page.dispatchEvent("#drop", "drop", { dataTransfer: data });
  await page.waitForURL(/#\/reports\//);
}

async function packetsOfAFinding(scene) {
  const { page } = scene;
  const finding = page.locator("details.finding", { hasText: "sent again" }).first();
  if (!(await finding.evaluate((element) => element.open))) {
    await finding.locator("summary").click();
  }
  const link = finding.getByRole("link", { name: /^Download/ });
  const promised = Number(/(\d+) packets/.exec(await link.innerText())[1]);
  const { bytes } = await scene.download(link);
  assert.equal(packetsIn(bytes), promised, "just the packets of the finding");
  assert.match(await finding.locator("code").innerText(), /tcp\.analysis/);
}

async function plots(scene) {
  const { page } = scene;
  await page.getByRole("link", { name: "Over time" }).click();
  await page.locator(".u-over").nth(2).waitFor();
  const all = await page.locator(".u-over").count();
  assert.equal(all, 3);
  await page.getByRole("button", { name: "Throughput on the wire: zoom in" }).click();
  await page.getByRole("button", { name: "Throughput on the wire: later" }).click();
  await page.getByRole("button", { name: "Throughput on the wire: show all" }).click();
  // Dragging zooms; the selection is drawn while it lasts.
  const box = await page.locator(".u-over").first().boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40);
  assert.ok((await page.locator(".u-select").first().boundingBox()).width > 50);
  await page.mouse.up();
}

async function conversations(scene) {
  const { page } = scene;
  await page.getByRole("link", { name: "Conversations" }).click();
  await page.getByRole("button", { name: /^UDP flows/ }).click();
  const region = page.getByRole("region", { name: "UDP flows" });
  const clients = async () => region.locator("tbody td:first-child").allInnerTexts();
  const button = region.getByRole("button", { name: "Client", exact: true });
  await button.click();
  const ascending = await clients();
  await button.click();
  assert.deepEqual(await clients(), [...ascending].reverse(), "sorted the other way round");
  assert.equal(
    await region.getByRole("columnheader", { name: "Client", exact: true }).getAttribute("aria-sort"),
    "descending",
  );
  await page.getByLabel("Filter conversations").fill("50003");
  await page.waitForFunction(() => document.querySelectorAll("[aria-label='UDP flows'] tbody tr").length === 1);
  assert.match((await clients())[0], /50003$/);
}
