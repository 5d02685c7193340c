import assert from "node:assert/strict";

export async function walk(scene) {
  const { page, given } = scene;
  const choose = async (file) => {
    await scene.visit("analyse");
    const [chooser] = await Promise.all([
      page.waitForEvent("filechooser"),
      page.getByRole("button", { name: "Choose files" }).click(),
    ]);
    await chooser.setFiles(file);
  };

  // Too large: said before a byte is sent.
  await choose(given.large);
  const alert = page.getByRole("alert");
  assert.match(await alert.innerText(), /1\.20 MB.*1\.00 MB[\s\S]*capturectl analyze/);
  await scene.accessible("a file that is too large");

  // No capture: what the worker found.
  scene.expectErrors("/api/v1/uploads");
  await choose(given.none);
  await alert.filter({ hasText: /cat\.gif|pcap/ }).waitFor();
  await scene.accessible("a file that is no capture");

  // The place to drop files is there again.
  await scene.visit("reports");
  await scene.visit("analyse");
  await page.getByRole("button", { name: "Choose files" }).waitFor();

  // The server's own answers, for those who do not use the page: field, value and way out.
  scene.expectErrors("/api/v1/reports/none");
  await scene.visit("reports/none");
  await page.getByRole("heading", { name: "This could not be shown" }).waitFor();
}
