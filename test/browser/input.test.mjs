// Input that is unusual, and answers that are late or refused.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Environment, random, uuid } from "./events.mjs";
import { close, fragment, launch, lines, open, rows, shows, view } from "./page.mjs";

before(launch);
after(close);

const next = random(2);
const [ok, slow, broken, cold] = Array.from({ length: 4 }, () => uuid(next));

test("what sampling and limits left out is shown", async (t) => {
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok);
  env.add(500, "kinetel.invocation", { requestId: ok, status: "success", metrics: { durationMs: 40 }, sampled: "out", sampleRate: 0.1, leftOut: { ownLog: 0, sampledOut: 17 } }, { requestId: ok });
  env.invoke(900, slow);
  env.add(910, "kinetel.limit", { requestId: slow, events: 4100, bytes: 99, maxLines: 100 }, { requestId: slow });
  const { url } = await view(t, env.lines);
  const page = await open(t, url, `#request=${ok}`);
  await page.getByText("17 lines by sampling").waitFor();
  await page.getByText("left out, of a share of 0.1").waitFor();
  assert.equal(await page.getByText("sampled out", { exact: true }).count(), 1);
  await rows(page).first().click();
  await page.getByLabel("platform events").uncheck();
  await page.getByText("4,100 lines left out here").waitFor();
});

test("events that arrive during a load are shown", async (t) => {
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok, { lines: [["INFO", "first\n"]], end: false });
  const { url, write } = await view(t, env.lines.splice(0));
  const page = await open(t, url);
  await shows(page, "1 invocation");
  let loads = 0;
  await page.route("**/api/events?*", async (route) => {
    const response = await route.fetch();
    if (++loads === 1) {
      env.add(450, "function", "second\n", { requestId: ok, severity: "INFO" });
      await write(env.lines.splice(0));
      await page.waitForFunction(() => document.querySelector("#list-body .lines-count").textContent === "2");
    }
    await route.fulfill({ response });
  });
  await rows(page).first().click();
  await page.locator(".lines").getByText("second").waitFor();
  assert.equal(await lines(page).count(), 3);
});

test("data that cannot be read does not look like an empty input", async (t) => {
  const { url, write } = await view(t, ["hello", '{"schema":"other"}']);
  const page = await open(t, url, "#health=1");
  await page.getByText(/^This input cannot be read: -: /).waitFor();
  await page.getByRole("button", { name: /Cannot be read/ }).waitFor();
  assert.ok((await page.locator("#health-panel li").count()) >= 1);
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok);
  await write(env.lines);
  await shows(page, "1 invocation");
});

test("a link prefers the exact id", async (t) => {
  const env = new Environment("orders", "11111111");
  const longer = new Environment("orders", "111111112");
  env.invoke(400, "request-1", { lines: [["INFO", "the exact one\n"]] });
  longer.invoke(900, "request-12");
  const { url } = await view(t, [...longer.lines.slice(0, 3), ...env.lines, ...longer.lines.slice(3)]);
  const page = await open(t, url, "#request=request-1");
  await page.getByText("the exact one").waitFor();
  const other = await open(t, url, "#env=11111111");
  await other.locator("#details h2").waitFor();
  assert.equal(await other.locator("#details h2 .mono").textContent(), "11111111");
});

test("a page that was refused updates asks again", async (t) => {
  const { url, write } = await view(t, []);
  const context = { asked: 0 };
  const page = await open(t, url, "", { serviceWorkers: "block" });
  await page.route("**/api/updates?*", (route) => (context.asked++ ? route.continue() : route.fulfill({ status: 204, body: "" })));
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  const env = new Environment("orders", "11111111aaaaaaaa");
  await page.getByText(/^not connected/).waitFor();
  env.invoke(400, ok);
  await write(env.lines);
  await shows(page, "1 invocation");
  assert.equal(context.asked, 2);
});

test("the count fits a telephone", async (t) => {
  const { url, write } = await view(t, [], ["-", "--memory", "1"]);
  const page = await open(t, url, "#status=running&function=orders", { viewport: { width: 320, height: 700 } });
  const env = new Environment("orders", "11111111aaaaaaaa");
  for (let i = 0; i < 3000; i++) env.invoke(400 + i * 100, uuid(next));
  await write(env.lines);
  await page.getByText(/^, [\d,]+ older events dropped$/).waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.querySelector(".count").getBoundingClientRect().right <= innerWidth));
});

test("environments without an invocation, and lines of an init, are found", async (t) => {
  const busy = new Environment("orders", "11111111aaaaaaaa");
  busy.add(300, "function", "loading the menu\n", { severity: "INFO" });
  busy.invoke(400, ok);
  const idle = new Environment("payments", "22222222bbbbbbbb");
  idle.lines.splice(0);
  idle.add(500, "function", "no init, no request\n", { severity: "INFO" });
  const { url } = await view(t, [...busy.lines, ...idle.lines]);
  const page = await open(t, url);
  await shows(page, "1 invocation");
  assert.equal(await rows(page).count(), 2);
  assert.match(await page.locator("#canvas").getAttribute("aria-label"), /in 2 environments/);
  await page.getByRole("row", { name: /payments.*environment/ }).click();
  await page.locator(".lines").getByText("no init, no request").waitFor();
  assert.equal(await fragment(page), "#env=22222222bbbbbbbb");
  const other = await open(t, url, "#text=menu");
  await shows(other, "0 of 1 invocation");
  await rows(other).first().click();
  await other.locator("mark").first().waitFor();
  assert.match(await other.locator("#canvas").getAttribute("aria-label"), /in 1 environment,/);
});

test("odd times and durations do not stop the page", async (t) => {
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok);
  env.add(-5.2e13, "function", "long ago\n", { requestId: slow });
  env.add(2.3e14, "function", "year 9000\n", { requestId: broken });
  env.invoke(900, cold, { took: 1e15, held: 1e15 });
  const { url } = await view(t, env.lines.filter((line) => !line.includes("Invalid")));
  for (const hash of ["", "#from=1&to=1e30", "#from=-1e30&to=Infinity", "#from=1e30&to=2e30"]) {
    const page = await open(t, url, hash);
    await shows(page, "4 invocations");
    for (const key of ["-", "-", "ArrowLeft", "End", "-", "0"]) await page.locator("#canvas").press(key);
    await rows(page).first().click();
    await page.locator("#details h2").waitFor();
    const label = await page.locator("#canvas").getAttribute("aria-label");
    assert.match(label, /from 09:30:0/, "All has times that cannot be");
  }
});
