import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

// Markup, quotes, pieces of a path, a character of four bytes, and one that turns the direction of writing.
const NAME = "<img src=x onerror=\"window.hurt=1\"> 'q' ../../etc/passwd \u{1F600} \u202Egpj.exe.pcap";
// Browsers write a double quote of a file's name as %22.
const SHOWN = "<img src=x onerror=%22window.hurt=1%22> 'q' ../../etc/passwd \u{1F600} ⟨U+202E⟩gpj.exe.pcap";

export async function walk(scene) {
  const { page, given } = scene;
  await scene.visit("analyse");
  const [chooser] = await Promise.all([
    page.waitForEvent("filechooser"),
    page.getByRole("button", { name: "Choose files" }).click(),
  ]);
  await chooser.setFiles({ name: NAME, mimeType: "application/octet-stream", buffer: readFileSync(given.file) });
  await page.waitForURL(/#\/reports\//);
  const heading = page.getByRole("heading", { level: 1 });
  await page.getByRole("navigation", { name: "Parts of the report" }).waitFor();
  assert.equal(await heading.textContent(), SHOWN);

  await page.getByRole("link", { name: "HTTP" }).click();
  await page.getByRole("cell", { name: "/<script>window.hurt=1</script>?q='\"" }).waitFor();
  await page.getByRole("link", { name: "DNS" }).click();
  await page.getByRole("cell", { name: "<svg/onload=hurt()>.example" }).waitFor();
  await scene.visit("reports");
  await page.getByRole("link", { name: "gpj.exe.pcap" }).waitFor();
  await scene.accessible("a hostile name in the list");

  assert.equal(await page.evaluate(() => window.hurt), undefined);
  assert.equal(await page.locator("main img, main script").count(), 0);
}
