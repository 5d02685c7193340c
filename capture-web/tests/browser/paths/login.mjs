import assert from "node:assert/strict";

export async function walk(scene) {
  const { page, given } = scene;
  await scene.visit();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await scene.accessible("the login");
  assert.equal(await page.getByRole("navigation", { name: "Views" }).getByRole("link").count(), 0);

  scene.expectErrors("/api/v1/login");
  await logIn(page, "anna", "not the password");
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Password").inputValue(), "");
  await scene.accessible("a refused login");

  await logIn(page, "anna", given.password);
  await page.getByRole("button", { name: "Log out" }).waitFor();
  const report = await scene.upload(given.file);

  // A link for people without an account.
  await page.getByRole("button", { name: "Share" }).click();
  const link = await page.getByLabel(/^Whoever has this link/).inputValue();
  await scene.accessible("a shared link");
  const guest = await scene.person();
  await guest.goto(link);
  await guest.getByText("This is a shared report").waitFor();
  assert.equal(await guest.getByRole("button", { name: /Delete|Share/ }).count(), 0);
  await scene.accessible("a shared report", guest);
  await guest.getByRole("link", { name: "HTTP", exact: true }).click();
  await guest.getByRole("region", { name: "HTTP requests" }).waitFor();

  // Somebody else with an account does not see it.
  const bert = await scene.person();
  await scene.visit("reports", bert);
  await logIn(bert, "bert", given.password);
  await bert.getByRole("heading", { name: "No reports yet" }).waitFor();
  scene.expectErrors(`/api/v1/reports/${report}`);
  await scene.visit(`reports/${report}`, bert);
  await bert.getByRole("heading", { name: "This could not be shown" }).waitFor();

  // The link ends with the report.
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete the report" }).click();
  await page.getByRole("heading", { name: "No reports yet" }).waitFor();
  scene.expectErrors("/api/v1/shared/");
  await guest.reload();
  await guest.getByRole("heading", { name: "This could not be shown" }).waitFor();

  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await page.goBack();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
}

async function logIn(page, user, password) {
  await page.getByLabel("Name").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}
