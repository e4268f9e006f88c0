// How the page of kinetel view looks, and how fast its timeline is. It takes screenshots:
// with KINETEL_SCREENSHOTS those of the documents go into that folder.
import assert from "node:assert/strict";
import { mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fleet } from "./events.mjs";
import { close, launch, open, rows, shows, view } from "./page.mjs";

before(launch);
after(close);

const temporary = mkdtempSync(join(tmpdir(), "kinetel-view-"));
const folder = process.env.KINETEL_SCREENSHOTS || temporary;
const maxBytes = 150_000;

// contrasts returns the texts of the page whose contrast is below what WCAG 2.2 AA asks for.
const contrasts = (page) =>
  page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour, under) => {
      canvas.clearRect(0, 0, 1, 1);
      if (under) {
        canvas.fillStyle = `rgb(${under})`;
        canvas.fillRect(0, 0, 1, 1);
      }
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (c) => {
      const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const background = (element) => {
      for (let e = element; e; e = e.parentElement) {
        const c = rgb(getComputedStyle(e).backgroundColor);
        if (c[3] === 255) return c.slice(0, 3);
      }
      return [255, 255, 255];
    };
    const low = [];
    let checked = 0;
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.closest(":disabled, noscript, script")) continue;
      const style = getComputedStyle(element);
      const under = background(element);
      const [a, b] = [luminance(rgb(style.color, under).slice(0, 3)), luminance(under)].sort((x, y) => y - x);
      checked++;
      if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${((a + 0.05) / (b + 0.05)).toFixed(2)}: ${texts.currentNode.data.trim().slice(0, 40)}`);
    }
    return { low: [...new Set(low)], checked };
  });

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 375]) {
    test(`${colorScheme}, ${width} pixels wide`, async (t) => {
      const { url } = await view(t, fleet());
      const page = await open(t, url, "#health=1", { colorScheme, viewport: { width, height: 800 }, reducedMotion: "reduce" });
      await shows(page, "240 invocations");
      const check = async (what) => {
        const { low, checked } = await contrasts(page);
        assert.deepEqual(low, [], `${what}: texts with too little contrast`);
        assert.ok(checked > 30, `${what}: only ${checked} texts were checked`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${what}: the page is ${wide} pixels wider than the window`);
      };
      await check("health");
      await page.getByRole("button", { name: /Audit/ }).click();
      await page.getByLabel("Status").selectOption("error");
      await page.waitForFunction(() => / of 240 /.test(document.getElementById("count").textContent));
      await rows(page).first().click();
      await page.getByText("payment refused").first().click();
      await page.locator(".tree").first().waitFor();
      await check("details");
      await page.screenshot({ path: join(temporary, `details-${colorScheme}-${width}.png`) });
      t.diagnostic(`screenshot: ${join(temporary, `details-${colorScheme}-${width}.png`)}`);
      const moving = await page.evaluate(() => document.getAnimations().length);
      assert.equal(moving, 0, "something moves although the user wants less motion");
    });
  }

  test(`the screenshot of the documents, ${colorScheme}`, async (t) => {
    const { url, end } = await view(t, fleet());
    const page = await open(t, url, "", { colorScheme, viewport: { width: 1180, height: 720 } });
    await shows(page, "240 invocations");
    end();
    await page.getByText("all is read").waitFor();
    await page.waitForTimeout(1200); // the events per second of the beginning
    await page.evaluate(async () => {
      const { visible } = await import(new URL("model.js", location.href.split("#")[0]).href);
      location.hash = `request=${visible.findLast((inv) => inv.status === "error").requestId}`;
    });
    await page.locator(".lines > li").nth(4).waitFor();
    await page.locator("#details").evaluate((box) => box.scrollTo(0, box.querySelector(".spans").offsetTop - box.offsetTop - 50));
    const path = join(folder, `view-${colorScheme}.png`);
    await page.screenshot({ path });
    const { size } = statSync(path);
    t.diagnostic(`${path}: ${size} bytes`);
    assert.ok(size > 20_000 && size < maxBytes, `${size} bytes`);
  });
}

test("the switch sets the theme, also after a reload", async (t) => {
  const { url } = await view(t, []);
  const page = await open(t, url, "", { colorScheme: "light" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  const button = page.getByRole("button", { name: /^Theme/ });
  await button.click();
  assert.equal(await background(), light);
  await button.click();
  const dark = await background();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await background(), dark);
  await button.click();
  assert.equal(await background(), light);
});

test("panning 5,000 invocations", { timeout: 120_000 }, async (t) => {
  const { url } = await view(t, fleet({ environments: 30, invocations: 5000, linesEach: 1, span: 1_800_000 }));
  const page = await open(t, url);
  await shows(page, "5,000 invocations");
  const measure = (zoomed) =>
    page.evaluate(async (clicks) => {
      for (let i = 0; i < clicks; i++) document.getElementById("zoom-in").click();
      const { frames } = await import(new URL("timeline.js", location.href.split("#")[0]).href);
      const canvas = document.getElementById("canvas");
      const r = canvas.getBoundingClientRect();
      const send = (type, x) => canvas.dispatchEvent(new PointerEvent(type, { pointerId: 1, pointerType: "mouse", clientX: r.left + x, clientY: r.top + 60, button: 0, bubbles: true }));
      canvas.setPointerCapture = () => {};
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      send("pointerdown", 700);
      const drawn = frames.drawn;
      frames.longestMs = frames.totalMs = 0;
      const begin = performance.now();
      let n = 0;
      while (performance.now() - begin < 3000) {
        send("pointermove", 700 + 250 * Math.sin(n / 15));
        await frame();
        n++;
      }
      const seconds = (performance.now() - begin) / 1000;
      send("pointerup", 700);
      return { perSecond: n / seconds, drawn: (frames.drawn - drawn) / seconds, meanMs: frames.totalMs / (frames.drawn - drawn), longestMs: frames.longestMs };
    }, zoomed);
  for (const [name, clicks] of [["all of them in view", 0], ["some hundred in view", 6]]) {
    const { perSecond, drawn, meanMs, longestMs } = await measure(clicks);
    t.diagnostic(`${name}: ${perSecond.toFixed(1)} frames per second, ${drawn.toFixed(1)} of them drawn in ${meanMs.toFixed(2)} ms, the longest in ${longestMs.toFixed(1)} ms`);
    assert.ok(drawn > 1, "nothing was drawn");
  }
});
