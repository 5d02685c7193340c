// Walks one path of the page: `node run.mjs PATH`. The first line of standard input is what the test gives, as JSON; a
// line "done" follows for each request that the path prints as "ask: ...".

import { createInterface } from "node:readline";

import { Scene } from "./scene.mjs";

const PATIENCE_MS = 120_000;

const [, , path] = process.argv;
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const nextLine = async () => (await lines.next()).value;

async function ask(request) {
  process.stdout.write(`ask: ${request}\n`);
  if ((await nextLine()) !== "done") {
    throw new Error(`the test did not do: ${request}`);
  }
}

const given = JSON.parse(await nextLine());
const { walk } = await import(`./paths/${path}.mjs`);
const scene = await Scene.open(given, ask);
let timer;
const late = new Promise((_, reject) => {
  timer = setTimeout(() => reject(new Error(`it did not end within ${PATIENCE_MS} ms`)), PATIENCE_MS);
});
try {
  await Promise.race([walk(scene), late]);
  scene.verify();
} catch (error) {
  process.stderr.write(`${error.stack ?? error}\n${await scene.state()}\n`);
  process.exitCode = 1;
} finally {
  clearTimeout(timer);
  await scene.close();
  process.stdin.destroy();
}
