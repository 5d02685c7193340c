import assert from "node:assert/strict";

const MOST_KEYS = 60;

export async function walk(scene) {
  const { page, given } = scene;
  await scene.visit("");
  await page.getByRole("heading", { name: "Analyse a file" }).waitFor();

  // The first stop leads past the navigation.
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the content");
  await page.keyboard.press("Enter");
  await tabTo(page, "Choose files");
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Enter")]);
  await chooser.setFiles(given.file);
  await page.waitForURL(/#\/reports\//);
  await page.getByRole("navigation", { name: "Parts of the report" }).waitFor();

  // A new view begins at its heading.
  await page.waitForFunction(() => document.activeElement?.tagName === "H1");
  await tabTo(page, "Conversations");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "TCP connections" }).waitFor();
  await tabTo(page, "Packets");
  await page.keyboard.press("Enter");
  await page.locator("th[aria-sort='descending']", { hasText: "Packets" }).waitFor();

  await page.getByRole("link", { name: "Over time" }).focus();
  await page.keyboard.press("Enter");
  await tabTo(page, "Throughput on the wire: zoom in");
  await page.keyboard.press("Enter");

  await page.getByRole("button", { name: "Delete" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  assert.equal(await focused(page), "Cancel", "the harmless answer has the focus");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(page), "Delete", "the focus is back where it was");
}

/** The name of the element that has the focus. */
function focused(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    return element.getAttribute("aria-label") ?? element.textContent.trim();
  });
}

/** Presses Tab until an element of this name has the focus. */
async function tabTo(page, name) {
  const passed = [];
  for (let keys = 0; keys < MOST_KEYS; keys += 1) {
    await page.keyboard.press("Tab");
    const now = await focused(page);
    if (now === name) {
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      assert.notEqual(outline, "none", `the focus on ${name} can be seen`);
      return;
    }
    passed.push(now);
  }
  assert.fail(`${name} cannot be reached with the keyboard; on the way were ${passed.join(" | ")}`);
}
