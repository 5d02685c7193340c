// A browser with one page, and everything that must hold on every path.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";

const { chromium } = await import(pathToFileURL(process.env.CAPTURE_TEST_BROWSER_PLAYWRIGHT));
const AXE = readFileSync(process.env.CAPTURE_TEST_BROWSER_AXE, "utf8");

const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 360, height: 740 };
const PATIENCE_MS = 20_000;

// No sandbox, because tests run as root; no request but the page's own.
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export class Scene {
  /** What went wrong on the way, whichever page it was on. */
  problems = [];
  /** Answers that are errors on purpose: the browser reports each in the console. */
  #expected = [];

  static async open(given, ask) {
    const scene = new Scene();
    scene.given = given;
    scene.ask = ask;
    scene.browser = await chromium.launch({ executablePath: installed("chromium"), args: ARGUMENTS });
    scene.page = await scene.person();
    return scene;
  }

  /** A page of somebody who shares nothing with the others: no cookie, no cache. */
  async person() {
    const context = await this.browser.newContext({ viewport: WIDE, colorScheme: "light", acceptDownloads: true });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`violates the policy: ${event.effectiveDirective} ${event.blockedURI}`),
      );
    });
    context.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (protocol !== "data:" && protocol !== "blob:" && origin !== new URL(this.given.base).origin) {
        this.problems.push(`a request to another server: ${request.url()}`);
      }
    });
    const page = await context.newPage();
    // Intercepted from the beginning: a path that waits for a chooser may be too late to ask for it.
    page.on("filechooser", () => {});
    page.on("pageerror", (error) => this.problems.push(`an error of the page: ${error.stack}`));
    page.on("console", (message) => {
      const { url } = message.location();
      if (message.type() === "error" && !this.#expected.some((part) => url.includes(part))) {
        this.problems.push(`an error in the console: ${message.text()} (${url})`);
      }
    });
    return page;
  }

  /** From now on errors of the server at this path are meant. */
  expectErrors(part) {
    this.#expected.push(part);
  }

  /** Goes to a view by its address. */
  async visit(view = "", page = this.page) {
    await page.goto(`${this.given.base}/#/${view}`);
  }

  /** Uploads a file by the button, and waits for its report; returns the report's id. */
  async upload(file, page = this.page) {
    await this.visit("analyse", page);
    const [chooser] = await Promise.all([
      page.waitForEvent("filechooser"),
      page.getByRole("button", { name: "Choose files" }).click(),
    ]);
    await chooser.setFiles(file);
    await page.waitForURL(/#\/reports\/[^/]+/);
    await page.getByRole("navigation", { name: "Parts of the report" }).waitFor();
    return /#\/reports\/([^/]+)/.exec(page.url())[1];
  }

  /** Checks that a view can be used by everybody: in both colour schemes, wide and narrow. */
  async accessible(what, page = this.page) {
    for (const [scheme, size] of [
      ["light", WIDE],
      ["dark", NARROW],
    ]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize(size);
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (beyond > 0) {
        this.problems.push(`${what}, ${scheme}: ${beyond} pixels wider than a screen of ${size.width}`);
      }
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      for (const { impact, id, nodes } of violations) {
        if (impact === "serious" || impact === "critical") {
          const places = nodes.slice(0, 3).map((node) => `${node.target.join(" ")}: ${node.failureSummary}`);
          this.problems.push(`${what}, ${scheme}: axe ${impact} ${id}: ${places.join("; ")}`);
        }
      }
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize(WIDE);
  }

  /** Downloads by a link; returns the bytes and the name. */
  async download(link, page = this.page) {
    const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
    return { bytes: readFileSync(await download.path()), name: download.suggestedFilename() };
  }

  /** Fails if something went wrong on the way. */
  verify() {
    assert.equal(this.problems.length, 0, "something went wrong on the way");
  }

  /** What a failed test shows. */
  async state() {
    try {
      const text = await this.page.locator("main").innerText({ timeout: 1000 });
      return `${this.problems.join("\n")}\nat ${this.page.url()}:\n${text.slice(0, 2000)}`;
    } catch (error) {
      return `${this.problems.join("\n")}\nthe page shows nothing: ${error.message}`;
    }
  }

  async close() {
    await this.browser.close();
  }
}

/** The path of a program. */
function installed(program) {
  const paths = process.env.PATH.split(delimiter).map((directory) => join(directory, program));
  return paths.find((path) => existsSync(path));
}

/** The number of packets in the bytes of a pcapng file: its enhanced packet blocks. */
export function packetsIn(bytes) {
  assert.equal(bytes.readUInt32LE(0), 0x0a0d0d0a, "a section header of pcapng");
  let packets = 0;
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
    packets += bytes.readUInt32LE(at) === 6 ? 1 : 0;
  }
  return packets;
}
