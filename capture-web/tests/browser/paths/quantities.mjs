import assert from "node:assert/strict";

export async function walk(scene) {
  await scene.visit("analyse");
  await read(scene.page);
  await written(scene.page);
  await ledgers(scene.page);
}

/** Calls functions of a module of the page, in the page. */
function call(page, module, calls) {
  return page.evaluate(
    async ([path, list]) => {
      const functions = await import(path);
      return list.map(([name, ...values]) => {
        try {
          return functions[name](...values);
        } catch (error) {
          return { field: error.field, value: error.value, fix: error.fix };
        }
      });
    },
    [`/assets/parts/${module}.js`, calls],
  );
}

async function read(page) {
  const valid = [
    ["seconds", "10 min", 600],
    ["seconds", "1.5h", 5400],
    ["seconds", "90", 90],
    ["seconds", " 2 D ", 172_800],
    ["bytes", "100 MB", 100e6],
    ["bytes", "2GiB", 2 * 1024 ** 3],
    ["bytes", "1,500", 1500],
    ["whole", "100,000", 100_000],
    ["whole", "", null],
  ];
  const found = await call(
    page,
    "quantities",
    valid.map(([name, text]) => [name, text, "Field"]),
  );
  assert.deepEqual(
    found,
    valid.map(([, , value]) => value),
  );
  const wrong = [
    ["seconds", "soon"],
    ["seconds", "10 parsecs"],
    ["seconds", "0"],
    ["bytes", "-1 MB"],
    ["bytes", "1e99 TB"],
    ["whole", "1.5 packets"],
    ["whole", "99999999999999999999"],
  ];
  const refused = await call(
    page,
    "quantities",
    wrong.map(([name, text]) => [name, text, "Field"]),
  );
  for (const [at, [name, text]] of wrong.entries()) {
    assert.equal(refused[at]?.field, "Field", `${name} of ${text}`);
    assert.equal(refused[at].value, text);
    assert.match(refused[at].fix, /such as/);
  }
  // What a form shows is read back as the same value.
  for (const value of [1, 59, 60, 86_400, 90_000]) {
    const [text] = await call(page, "quantities", [["secondsText", value]]);
    assert.deepEqual(await call(page, "quantities", [["seconds", text, "Field"]]), [value], text);
  }
  for (const value of [1, 1500, 1024, 100e6, 3 * 1024 ** 3]) {
    const [text] = await call(page, "quantities", [["bytesText", value]]);
    assert.deepEqual(await call(page, "quantities", [["bytes", text, "Field"]]), [value], text);
  }
}

async function written(page) {
  const cases = [
    ["number", 1_234_567, "1,234,567"],
    ["number", null, "unknown"],
    ["bytes", 999, "999 B"],
    ["bytes", 1_230_000, "1.23 MB"],
    ["bytes", null, "unknown"],
    ["bitRate", 12_300_000, "12.3 Mbit/s"],
    ["rate", 1234, "1.23 k/s"],
    ["duration", 1_500_000, "1.5 ms"],
    ["duration", 0, "0 s"],
    ["duration", 7_200_000_000_000, "2.0 h"],
    ["moment", "2026-01-01T10:00:00.5Z", "2026-01-01 10:00:00 UTC"],
    ["moment", "no time", "unknown"],
  ];
  const found = await call(
    page,
    "units",
    cases.map(([name, value]) => [name, value]),
  );
  assert.deepEqual(
    found,
    cases.map(([, , text]) => text),
  );
}

async function ledgers(page) {
  const whole = { queue_full: 0, disk_full: 1, write_error: 0, stopped: 2 };
  const ledger = { seen: 20, filtered: 5, matched: 15, submitted: 12, ring_full: 2, unreadable: 1, written: 9 };
  const cases = [
    [{ ...ledger, discarded: whole }, true, [true, true, true]],
    [{ ...ledger, matched: 19, seen: 24, duplicate: 4, discarded: whole }, true, [true, true, true]],
    // While a capture runs, packets may be on their way.
    [{ ...ledger, written: 4, discarded: whole }, false, [true, true, true]],
    [{ ...ledger, written: 8, discarded: whole }, true, [true, true, false]],
    // More was written than was taken.
    [{ ...ledger, written: 10, discarded: whole }, false, [true, true, false]],
    [{ ...ledger, ring_full: undefined, discarded: whole }, true, [true, null, true]],
  ];
  for (const [given, ended, expected] of cases) {
    const [equations] = await call(page, "ledger", [["equations", given, ended]]);
    assert.deepEqual(
      equations.map((equation) => equation.holds),
      expected,
      JSON.stringify(given),
    );
  }
}
