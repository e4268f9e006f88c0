// What a person does with the page of kinetel view.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Environment, fleet, random, uuid } from "./events.mjs";
import { cells, close, fragment, launch, lines, open, rows, shows, view } from "./page.mjs";

before(launch);
after(close);

const next = random(1);
const [ok, slow, broken, cold] = Array.from({ length: 4 }, () => uuid(next));

// known returns the lines of four invocations in two environments.
function known() {
  const orders = new Environment("orders", "11111111aaaaaaaa");
  orders.invoke(400, cold, { lines: [["INFO", "warm up\n"]] });
  orders.invoke(900, ok, { lines: [["DEBUG", "beans: 3\n"], ["INFO", { message: "order accepted", order: 12345678901234567890n.toString(), items: [1, 2, { sku: "A-1" }] }]] });
  const payments = new Environment("payments", "22222222bbbbbbbb", { at: 100 });
  payments.first = false;
  payments.invoke(700, slow, { lines: [["WARN", "the bank is slow\n"]], took: 300 });
  payments.invoke(1200, broken, { lines: [["ERROR", "no beans left\n"]], status: "error", errorType: "OutOfBeans" });
  return [...orders.lines, ...payments.lines];
}

test("the page shows a known invocation, its events and its spans", async (t) => {
  const { url } = await view(t, known());
  const page = await open(t, url);
  await shows(page, "4 invocations");
  await page.getByRole("row", { name: new RegExp(broken.slice(0, 8)) }).click();
  await page.waitForFunction(() => document.querySelectorAll(".lines > li").length === 5);
  const details = await page.locator("#details").textContent();
  for (const text of [broken, "error (OutOfBeans)", "40.0 ms", "88 of 256 MB", "held by Kinetel", "responseLatency", "no beans left", "platform.runtimeDone"]) assert.ok(details.includes(text), `the details have no ${text}: ${details}`);
  assert.equal(await page.locator(".severity.error").textContent(), "ERROR");
  assert.equal(await fragment(page), `#request=${broken}`);
  await page.getByLabel("platform events").uncheck();
  assert.equal(await lines(page).count(), 1);
});

test("a link leads to an invocation, also by the first characters of its id", async (t) => {
  const { url } = await view(t, known());
  const page = await open(t, url, `#request=${ok.slice(0, 8)}`);
  await page.getByText("order accepted").first().click();
  assert.match(await page.locator(".tree").first().textContent(), /items: {2}?\[3\]|items:/);
  assert.ok((await page.locator(".tree").first().textContent()).includes("12345678901234567890"), "a number lost its digits");
  const missing = await open(t, url, "#request=ffffffff");
  await missing.getByText("No event of the request ffffffff is in memory.").waitFor();
});

test("filters by severity, function, status and text, with the state in the address", async (t) => {
  const { url } = await view(t, known());
  const page = await open(t, url);
  await shows(page, "4 invocations");
  const clear = page.getByRole("button", { name: "Clear" });
  await page.getByLabel("Severity").selectOption("warn");
  await shows(page, "2 of 4 invocations");
  assert.equal(await fragment(page), "#severity=warn");
  await page.getByLabel("Function", { exact: true }).selectOption("payments");
  await page.getByLabel("Status").selectOption("failed");
  await shows(page, "1 of 4 invocations");
  assert.deepEqual(await cells(page, "request"), [broken.slice(0, 8)]);
  await clear.click();
  await shows(page, "4 invocations");
  await page.getByLabel("Status").selectOption("cold");
  await shows(page, "1 of 4 invocations");
  await clear.click();
  await page.getByLabel("Search").fill("BEANS");
  await shows(page, "2 of 4 invocations");
  assert.deepEqual((await cells(page, "request")).sort(), [ok.slice(0, 8), broken.slice(0, 8)].sort());
  await rows(page).first().click();
  await page.locator("mark").first().waitFor();
  assert.equal((await page.locator("mark").first().textContent()).toLowerCase(), "beans");
  const other = await open(t, url, "#text=bank");
  await shows(other, "1 of 4 invocations");
  assert.equal(await other.getByLabel("Search").inputValue(), "bank");
});

test("copies an invocation, an event and a link", async (t) => {
  const { url } = await view(t, known());
  const page = await open(t, url, `#request=${broken}&from=1&to=2`, { permissions: ["clipboard-read", "clipboard-write"] });
  const copied = async (button) => {
    await page.evaluate(() => navigator.clipboard.writeText("")); // the label of the copy before may still be there
    await button.click();
    await page.getByRole("button", { name: "copied" }).or(page.getByText("copied", { exact: true })).first().waitFor();
    await page.waitForFunction(async () => (await navigator.clipboard.readText()) !== "");
    return page.evaluate(() => navigator.clipboard.readText());
  };
  await page.getByText("no beans left").waitFor();
  const all = (await copied(page.getByRole("button", { name: "Copy as JSON" }))).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(all.map((e) => e.type), ["platform.start", "function", "platform.runtimeDone", "platform.report", "kinetel.invocation"]);
  assert.equal(all[1].body, "no beans left\n");
  assert.equal(await copied(page.getByRole("button", { name: "Copy link" })), `${url}#request=${broken}`);
  const event = JSON.parse(await copied(lines(page).nth(1).locator(".copy")));
  assert.deepEqual(event, all[1]);
});

test("the heads of the table sort", async (t) => {
  const { url } = await view(t, known());
  const page = await open(t, url);
  await shows(page, "4 invocations");
  const ids = (...all) => all.map((id) => id.slice(0, 8));
  assert.deepEqual(await cells(page, "request"), ids(broken, ok, slow, cold));
  const head = page.getByRole("columnheader", { name: "Runtime ms" });
  await head.getByRole("button").click();
  assert.equal((await cells(page, "request"))[0], slow.slice(0, 8));
  assert.equal(await head.getAttribute("aria-sort"), "descending");
  await head.getByRole("button").click();
  assert.equal((await cells(page, "request"))[3], slow.slice(0, 8));
  assert.equal(await fragment(page), "#sort=runtime");
});

test("back and forward restore the selection and the filters", async (t) => {
  const { url } = await view(t, known());
  const page = await open(t, url);
  await shows(page, "4 invocations");
  await page.getByLabel("Status").selectOption("failed");
  await shows(page, "1 of 4 invocations");
  await rows(page).first().click();
  await page.locator("#details h2").waitFor();
  await page.goBack();
  await page.locator("#details").waitFor({ state: "hidden" });
  assert.equal(await page.getByLabel("Status").inputValue(), "failed");
  await page.goBack();
  await shows(page, "4 invocations");
  assert.equal(await page.getByLabel("Status").inputValue(), "");
  await page.goForward();
  await page.goForward();
  await page.locator("#details h2").waitFor();
  await shows(page, "1 of 4 invocations");
  await page.reload();
  await page.getByText("no beans left").waitFor();
});

test("events that arrive are shown, in the list, in the details and in a search", async (t) => {
  const { url, write } = await view(t, []);
  const page = await open(t, url, "#text=soup");
  await page.getByText("No invocation has arrived yet.").waitFor();
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok, { lines: [["INFO", "soup 1\n"]], end: false });
  await write(env.lines.splice(0));
  await shows(page, "1 of 1 invocation");
  await page.locator("#list-body .badge.running").waitFor();
  await rows(page).first().click();
  await page.waitForFunction(() => document.querySelectorAll(".lines > li").length === 2);
  env.add(450, "function", "a later line\n", { requestId: ok, severity: "ERROR" });
  env.add(460, "platform.runtimeDone", { requestId: ok, status: "error", metrics: { durationMs: 60 } }, { requestId: ok });
  env.invoke(900, slow, { lines: [["INFO", "no such thing\n"]] });
  env.invoke(1300, cold, { lines: [["INFO", "soup 2\n"]] });
  await write(env.lines.splice(0));
  await page.getByText("a later line").waitFor();
  await shows(page, "2 of 3 invocations");
  assert.equal(await page.locator("#details dd").first().textContent(), "error");
});

test("a click is not lost while events arrive", async (t) => {
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok, { end: false });
  const { url, write } = await view(t, env.lines.splice(0));
  const page = await open(t, url);
  await shows(page, "1 invocation");
  const box = await rows(page).first().locator(".status").boundingBox();
  await page.getByRole("button", { name: "Time", exact: true }).click(); // the oldest on top
  await page.mouse.move(box.x + 20, box.y + box.height / 2);
  await page.mouse.down();
  env.add(420, "function", "more\n", { requestId: ok });
  env.invoke(900, slow);
  await write(env.lines);
  await shows(page, "2 invocations");
  await page.mouse.up();
  await page.waitForFunction((id) => location.hash.includes(id), ok);
});

test("a page in the background gets no updates, and catches up", async (t) => {
  const { url, write } = await view(t, []);
  const page = await open(t, url);
  const listening = [];
  page.on("request", (r) => r.url().includes("api/updates") && listening.push(r));
  const hide = (hidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok);
  await write(env.lines);
  await page.waitForTimeout(600); // more than the interval of updates
  assert.equal(await page.locator("#count").textContent(), "0 invocations");
  await hide(false);
  await shows(page, "1 invocation");
  assert.equal(listening.length, 1);
});

for (const colorScheme of ["light", "dark"]) test(`hostile lines are text, ${colorScheme}`, async (t) => {
  const env = new Environment("<img src=x onerror=alert(1)>", "33333333cccccccc");
  const half = "é\u{1f600}x".repeat(150_000);
  env.invoke(400, ok, {
    lines: [
      ["INFO", "<script>alert(1)</script><b onclick=alert(2)>bold</b>\n"],
      ["INFO", half],
      ["INFO", "caf\ufffd\n", { bodyBase64: Buffer.from([0x22, 0x63, 0x61, 0x66, 0xe9, 0x5c, 0x6e, 0x22]).toString("base64") }],
      ["INFO", "\u001b[31mred\u001b[0m and \u001b[1;32mbold\u001b[0m, \u001b[2J\u0007 \u202eesrever\u202c\u200b\n"],
      ["INFO", { "<i>": "<u>", __proto__x: { constructor: "</script>" } }],
      ["INFO", "[".repeat(900) + "]".repeat(900)],
      ["INFO", Array.from({ length: 20_000 }, (_, i) => `\u001b[3${i % 8}mx`).join("")],
    ],
  });
  env.invoke(900, "\"><svg onload=alert(3)>", { lines: [["ERROR", "an id\n"]], status: "<b>error</b>", errorType: "<i>" });
  const { url } = await view(t, env.lines);
  const page = await open(t, url, `#request=${ok}`, { colorScheme });
  await page.getByText("<script>alert(1)</script><b onclick=alert(2)>bold</b>").waitFor();
  assert.equal(await page.locator("script").count(), 2, "the page has a script that is not its own");
  await page.getByText("caf\ufffd").waitFor();
  assert.equal(await page.locator(".ansi-1").first().textContent(), "red");
  assert.equal(await page.locator(".ansi-bold").first().textContent(), "bold");
  const signs = (await page.locator(".control").allTextContents()).slice(0, 5);
  assert.deepEqual(signs, ["^[", "^G", "U+202E", "U+202C", "U+200B"]);
  const all = page.getByRole("button", { name: /Show all 1\.1 MB/ });
  await all.click();
  await page.waitForFunction((n) => [...document.querySelectorAll(".lines .text")].some((e) => e.textContent.length === n), half.length);
  await page.getByText("<i>=<u>").click();
  assert.ok((await page.locator(".tree").first().textContent()).includes("<u>"));
  await rows(page).first().click();
  await page.getByText("<b>error</b> (<i>)").waitFor();
});

test("100,000 events of 10,000 invocations", { timeout: 180_000 }, async (t) => {
  const { url, write } = await view(t, []);
  const page = await open(t, url);
  const all = fleet({ environments: 40, invocations: 10_000, linesEach: 6, span: 3_600_000 });
  assert.ok(all.length >= 100_000, `${all.length} events`);
  for (let i = 0; i < all.length; i += 10_000) await write(all.slice(i, i + 10_000));
  await shows(page, "10,000 invocations");
  assert.ok((await rows(page).count()) < 80, "rows that are out of view are elements");
  await page.locator("#list-box").evaluate((box) => (box.scrollTop = box.scrollHeight));
  await page.waitForFunction(() => document.querySelector('#list-body tr[aria-rowindex="10001"]') !== null);
  await page.getByLabel("Search").fill("request 9999 step");
  await shows(page, "1 of 10,000 invocations");
  await rows(page).first().click();
  await page.getByText("request 9999 step 0").waitFor();
  const memory = await page.evaluate(() => performance.memory?.usedJSHeapSize ?? 0);
  t.diagnostic(`${all.length} events, ${Math.round(memory / 1e6)} MB in the page`);
});

test("an invocation with thousands of lines comes in pages", async (t) => {
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok, { lines: Array.from({ length: 700 }, (_, i) => ["INFO", `line ${i}\n`]) });
  const { url } = await view(t, env.lines);
  const page = await open(t, url, `#request=${ok}`);
  await page.getByRole("button", { name: "Show 300 more of 404" }).click();
  await page.getByRole("button", { name: "Show 104 more of 104" }).click();
  await page.getByText("line 699", { exact: true }).waitFor();
  assert.equal(await lines(page).count(), 704);
});

test("the oldest events are dropped from memory, and the page says so", async (t) => {
  const { url, write } = await view(t, [], ["-", "--memory", "1"]);
  const env = new Environment("orders", "11111111aaaaaaaa");
  for (let i = 0; i < 200; i++) env.invoke(400 + i * 100, uuid(next), { lines: Array.from({ length: 10 }, () => ["INFO", "x".repeat(500)]) });
  const page = await open(t, url, "#health=1");
  await write(env.lines);
  await page.waitForFunction(() => /older events dropped[\d,]{5}/.test(document.getElementById("health-panel").textContent));
  await page.waitForFunction(() => Number(/^(\d+) invocation/.exec(document.getElementById("count").textContent)?.[1]) < 150);
  await page.getByText(/^, [\d,]+ older events dropped$/).waitFor();
  await page.getByText(/^complete: 2803 events/).waitFor();
});

test("health shows the verdict, holes, losses, retries and holds", async (t) => {
  const env = new Environment("orders", "11111111aaaaaaaa");
  env.invoke(400, ok);
  env.skip(3);
  env.loss(600, 5, "buffer-full");
  env.invoke(700, slow, { held: 300 });
  env.report(800, { retried: 7 });
  const { url, end } = await view(t, env.lines);
  const page = await open(t, url);
  await page.getByRole("button", { name: /Audit/ }).click();
  end();
  const panel = page.locator("#health-panel");
  await page.getByText("all is read").waitFor();
  // While more may come, an environment without news is not live: its events are old.
  await page.waitForFunction(() => /NOT COMPLETE.*environments live1/s.test(document.getElementById("health-panel").textContent));
  const text = await panel.textContent();
  for (const wanted of ["unexplained3", "buffer-full5", "11111111", "records sent again7", "environments live1"]) assert.ok(text.includes(wanted), `the panel has no ${wanted}: ${text}`);
  assert.equal(await page.locator(".stat[data-kind=bad] .value").first().textContent(), "NOT COMPLETE");
  await panel.getByRole("link", { name: "11111111" }).click();
  await page.getByText("kinetel.loss").waitFor();
});

test("the keyboard is enough", async (t) => {
  const { url } = await view(t, known());
  const page = await open(t, url);
  await shows(page, "4 invocations");
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.dataset.number || document.activeElement.textContent);
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-rowindex")), "2");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("End");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-rowindex")), "5");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid", "the focus cannot be seen");
  await page.keyboard.press("Enter");
  await page.locator("#details h2").waitFor();
  assert.equal(await fragment(page), `#request=${cold}`);
  await page.keyboard.press("Escape");
  await page.locator("#details").waitFor({ state: "hidden" });
  await page.keyboard.press("/");
  await page.keyboard.type("bank");
  await shows(page, "1 of 4 invocations");
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await shows(page, "4 invocations");
  await page.locator("#canvas").focus();
  await page.keyboard.press("n");
  await page.waitForFunction((id) => location.hash.includes(id), cold);
  await page.keyboard.press("n");
  assert.ok((await fragment(page)).includes(slow));
  await page.keyboard.press("p");
  assert.ok((await fragment(page)).includes(cold));
  await page.keyboard.press("+");
  await page.waitForFunction(() => location.hash.includes("from="));
  await page.keyboard.press("0");
  await page.waitForFunction(() => !location.hash.includes("from="));
});

test("the timeline is panned and zoomed by mouse and fingers, and shows what is under the pointer", async (t) => {
  const { url } = await view(t, known());
  const page = await open(t, url, "", { hasTouch: true });
  await shows(page, "4 invocations");
  const box = await page.locator("#canvas").boundingBox();
  const window = async () => {
    await page.waitForTimeout(400); // the address follows when the view rests
    const s = new URLSearchParams((await fragment(page)).slice(1));
    return [Number(s.get("from")), Number(s.get("to"))];
  };
  const middle = [box.x + box.width / 2, box.y + 40];
  await page.mouse.move(...middle);
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, -400);
  await page.keyboard.up("Control");
  const zoomed = await window();
  assert.ok(zoomed[0] > 0 && zoomed[1] - zoomed[0] < 1000, `${zoomed[1] - zoomed[0]} ms are in view`);
  await page.mouse.down();
  await page.mouse.move(middle[0] - 200, middle[1], { steps: 5 });
  await page.mouse.up();
  const panned = await window();
  assert.ok(panned[0] > zoomed[0] + 10 && Math.abs(panned[1] - panned[0] - (zoomed[1] - zoomed[0])) < 0.5, `from ${zoomed} to ${panned}`);
  const session = await page.context().newCDPSession(page);
  const touch = (type, ...points) => session.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  await touch("touchStart", [middle[0] - 40, middle[1]], [middle[0] + 40, middle[1]]);
  await touch("touchMove", [middle[0] - 160, middle[1]], [middle[0] + 160, middle[1]]);
  await touch("touchEnd");
  const pinched = await window();
  assert.ok(pinched[1] - pinched[0] < (panned[1] - panned[0]) / 2, `a pinch shows ${pinched[1] - pinched[0]} ms of ${panned[1] - panned[0]}`);
  await page.getByRole("button", { name: "All" }).click();
  // The failed invocation begins at 1,200 ms of 1,263, in the second lane.
  const x = box.x + 190 + ((1210 + 25.3) / (1263 + 2 * 25.3)) * (box.width - 190);
  await page.mouse.move(x, box.y + 22 + 4 + 28 + 11);
  await page.locator("#tip").getByText("OutOfBeans").waitFor();
  await page.mouse.click(x, box.y + 22 + 4 + 28 + 11);
  await page.waitForFunction((id) => location.hash.includes(id), broken);
});

test("the demo is shown while it runs", async (t) => {
  const { url } = await view(t, [], ["--demo"]);
  const page = await open(t, url);
  await shows(page, "20 invocations");
  await page.getByText("all is read").waitFor();
  await page.getByLabel("Status").selectOption("timeout");
  await shows(page, "1 of 20 invocations");
  await page.getByLabel("Status").selectOption("cold");
  await shows(page, "2 of 20 invocations");
  assert.equal(await page.locator(".stat .value").first().textContent(), "complete");
});

test("another process gets nothing without the token", async (t) => {
  const { url } = await view(t, known());
  const { origin, port } = new URL(url);
  assert.equal((await fetch(origin + "/api/health")).status, 403);
  assert.equal((await fetch(origin)).status, 403);
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-security-policy"), /default-src 'none'.*require-trusted-types-for 'script'/);
  assert.ok(port > 0);
});
