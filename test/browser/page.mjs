// Starts kinetel view and opens its page in Chromium.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const program = process.env.KINETEL ?? fileURLToPath(new URL("../../bin/kinetel", import.meta.url));
const chromiums = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

const contexts = new WeakMap(); // those that a test opened
let browser;

export async function launch() {
  const executablePath = chromiums.find((path) => path && existsSync(path));
  assert.ok(executablePath, "there is no Chromium: apt-get install chromium, or set CHROMIUM");
  browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}

export const close = () => browser?.close();

// view starts kinetel view with these arguments, and returns its address and a function that
// writes lines to its standard input.
export async function view(t, lines = [], args = ["-"]) {
  const child = spawn(program, ["view", ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve(code ?? signal)));
  t.after(async () => {
    for (const context of contexts.get(t) ?? []) await context.close(); // otherwise the page reports that the server has ended
    child.kill("SIGINT");
    assert.equal(await ended, 0, "kinetel view does not end well");
  });
  let out = "";
  const url = await new Promise((resolve, reject) => {
    child.stdout.on("data", (data) => {
      out += data;
      const found = /http:\S+/.exec(out);
      if (found) resolve(found[0]);
    });
    ended.then((code) => reject(new Error(`kinetel view ended with ${code}: ${out}`)));
  });
  child.stdin.on("error", () => {}); // it ended first
  const write = (more) => new Promise((resolve) => child.stdin.write(more.map((line) => line + "\n").join(""), resolve));
  if (lines.length) await write(lines);
  return { url, write, end: () => child.stdin.end() };
}

// open opens a page. At the end of the test nothing may be in its console, and it may have
// asked for nothing elsewhere.
export async function open(t, url, hash = "", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, timezoneId: "UTC", locale: "en-US", ...options });
  contexts.set(t, [...(contexts.get(t) ?? []), context]);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const problems = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && problems.push(`${m.type()}: ${m.text()}`));
  page.on("pageerror", (err) => problems.push(`exception: ${err.stack}`));
  page.on("request", (r) => !r.url().startsWith(url) && problems.push(`request: ${r.url()}`));
  page.on("dialog", (d) => (problems.push(`dialog: ${d.message()}`), d.dismiss()));
  t.after(() => assert.deepEqual(problems, []));
  await page.goto(url + hash);
  await page.waitForFunction(() => document.getElementById("count").textContent !== "");
  return page;
}

// shows waits until the page says how many invocations match.
export const shows = (page, count) => page.waitForFunction((wanted) => document.getElementById("count").textContent === wanted, count);

export const rows = (page) => page.locator("#list-body tr[data-number]");

export const cells = (page, name) => page.locator(`#list-body tr[data-number] td:nth-child(${["time", "function", "request", "status"].indexOf(name) + 1})`).allTextContents();

export const lines = (page) => page.locator(".lines > li");

export const fragment = (page) => page.evaluate(() => decodeURIComponent(location.hash));
