// Draws lanes on a canvas. What is narrower than a pixel is drawn as one bar for each pixel,
// in the colour of the worst invocation in it, so that thousands cost no more than they show.
import { clock, day, short } from "./format.js";
import { firstAt } from "./lanes.js";

const axis = 22; // pixels
const narrow = 3; // pixels below which the phases of an invocation are not drawn
const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, second, 2 * second, 5 * second, 10 * second, 20 * second, 30 * second, minute, 2 * minute, 5 * minute, 10 * minute, 20 * minute, 30 * minute, hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, 24 * hour, 48 * hour, 168 * hour];
const colours = ["bg", "surface", "text", "muted", "line", "accent", "error", "cold", "hold", "overhead", "stored", "lane"];

export { axis };

// palette reads the colours of the theme: a canvas knows no variables of CSS.
export function palette() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const read = {};
  for (const name of colours) {
    probe.style.color = `var(--${name})`;
    read[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return read;
}

// paint draws the lanes. view has the times from and to, and scroll; size has width, height,
// gutter, and the font.
export function paint(g, lanes, view, size, colour, marked) {
  const scale = (size.width - size.gutter) / (view.to - view.from);
  const x = (time) => size.gutter + (time - view.from) * scale;
  g.clearRect(0, 0, size.width, size.height);
  drawAxis(g, view, size, colour, x, scale);
  g.save();
  g.beginPath();
  g.rect(0, axis, size.width, size.height - axis);
  g.clip();
  g.translate(0, axis - view.scroll + 4);
  let label = null;
  for (const lane of lanes) {
    if (lane.y + lane.height < view.scroll - 20 || lane.y > view.scroll + size.height) continue;
    drawLane(g, lane, view, size, colour, x, marked);
    drawLabel(g, lane, size, colour, label !== lane.env.function);
    label = lane.env.function;
  }
  g.restore();
}

function drawAxis(g, view, size, colour, x, scale) {
  const room = 96;
  const step = steps.find((s) => s * scale >= room) ?? Math.ceil(room / scale / steps.at(-1)) * steps.at(-1);
  const offset = new Date(view.from).getTimezoneOffset() * minute;
  g.font = size.font;
  g.textBaseline = "middle";
  g.textAlign = "left";
  g.strokeStyle = colour.line;
  g.fillStyle = colour.muted;
  g.lineWidth = 1;
  g.beginPath();
  for (let t = Math.ceil((view.from - offset) / step) * step + offset; t < view.to; t += step) {
    const at = Math.round(x(t)) + 0.5;
    g.moveTo(at, axis - 6);
    g.lineTo(at, size.height);
    if (at + room / 2 < size.width) g.fillText(step >= 24 * hour ? day(t) : clock(t, step < second ? 3 : 0), at + 4, axis / 2);
  }
  g.stroke();
  g.clearRect(0, 0, size.gutter, axis);
  g.fillText(day(view.from), 8, axis / 2);
  g.beginPath();
  g.moveTo(0, axis - 0.5);
  g.lineTo(size.width, axis - 0.5);
  g.stroke();
}

function drawLabel(g, lane, size, colour, first) {
  const { env } = lane;
  g.fillStyle = colour.surface;
  g.fillRect(0, lane.y - 3, size.gutter - 1, lane.height + 6);
  g.font = size.font;
  const middle = lane.y + Math.min(lane.height, 22) / 2 + 0.5;
  const id = short(env.id || "unknown");
  g.fillStyle = colour.muted;
  g.textAlign = "right";
  g.fillText(id, size.gutter - 10, middle);
  if (!first) return;
  const room = size.gutter - 26 - g.measureText(id).width;
  g.fillStyle = colour.text;
  g.textAlign = "left";
  if (lane.label?.room !== room) lane.label = { room, text: fit(g, env.function, room) };
  g.fillText(lane.label.text, 8, middle);
}

// fit cuts a text to a width.
function fit(g, text, room) {
  if (g.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 1 && g.measureText(text.slice(0, n) + "…").width > room) n--;
  return n > 1 ? text.slice(0, n) + "…" : "";
}

function drawLane(g, lane, view, size, colour, x, marked) {
  const { env } = lane;
  g.save();
  g.beginPath();
  g.rect(size.gutter, lane.y - 4, size.width - size.gutter, lane.height + 8);
  g.clip();
  g.fillStyle = colour.lane;
  const begin = x(Math.max(view.from, env.initMs || env.firstMs));
  const end = x(Math.min(view.to, env.lastMs));
  if (end > begin) g.fillRect(begin, lane.y, Math.max(1, end - begin), lane.height);
  if (env.initMs && env.initTookMs) {
    g.fillStyle = env.initStatus && env.initStatus !== "success" ? colour.error : colour.cold;
    const from = x(env.initMs);
    g.fillRect(from, lane.y + 2, Math.max(1, x(env.initMs + env.initTookMs) - from), lane.height - 4);
  }
  lane.rows.forEach((row, i) => drawRow(g, row, lane.y + i * lane.rowHeight, lane.rowHeight, view, size, colour, x, marked));
  g.restore();
}

// drawRow draws the invocations of a row that are in view.
function drawRow(g, row, y, height, view, size, colour, x, marked) {
  const { items } = row;
  const last = firstAt(items, view.to);
  let pixel = -1; // of the narrow invocations that were not drawn yet
  let right = 0;
  let worst = 0;
  const flush = () => {
    if (pixel < 0) return;
    g.fillStyle = worst === 2 ? colour.error : worst === 1 ? colour.cold : colour.accent;
    g.fillRect(pixel, y + 1, Math.max(1, right - pixel), height - 2);
    pixel = -1;
    worst = 0;
  };
  const found = [];
  for (let i = firstAt(items, view.from - row.longest); i < last; i++) {
    const inv = items[i];
    const from = x(inv.start);
    const to = x(inv.stored);
    if (to < size.gutter) continue;
    if (marked.has(inv.number)) found.push(inv);
    if (to - from < narrow) {
      const at = Math.floor(from);
      if (pixel >= 0 && at > right) flush();
      const rank = inv.bad ? 2 : inv.coldStart ? 1 : 0;
      if (pixel >= 0 && rank !== worst && at > pixel) flush();
      if (pixel < 0) pixel = at;
      worst = Math.max(worst, rank);
      right = Math.max(right, at + 1, x(inv.end));
      continue;
    }
    flush();
    drawInvocation(g, inv, y, height, colour, x);
  }
  flush();
  for (const inv of found) mark(g, inv, y, height, colour, x, marked.get(inv.number));
}

// drawInvocation draws its phases.
function drawInvocation(g, inv, y, height, colour, x) {
  const from = x(inv.start);
  const bar = (begin, end, fill, top = 2, bottom = 2) => {
    if (end <= begin) return;
    const left = x(begin);
    g.fillStyle = fill;
    g.fillRect(left, y + top, Math.max(1, x(end) - left), height - top - bottom);
  };
  if (inv.stored > inv.end) bar(inv.runtimeEnd, inv.stored, colour.stored, height / 2 - 1, height / 2 - 1);
  bar(inv.heldEnd, inv.end, colour.overhead);
  bar(inv.runtimeEnd, inv.heldEnd, colour.hold);
  const right = Math.max(from + 1, x(inv.runtimeEnd));
  g.fillStyle = inv.bad ? colour.error : colour.accent;
  g.globalAlpha = inv.running ? 0.55 : 1;
  g.fillRect(from, y + 2, right - from, height - 4);
  g.globalAlpha = 1;
  if (inv.coldStart) {
    g.fillStyle = colour.cold;
    g.fillRect(from, y, Math.min(4, right - from), height);
  }
}

// mark draws the frame of what is selected or under the pointer.
function mark(g, inv, y, height, colour, x, kind) {
  const from = x(inv.start);
  g.strokeStyle = kind === "selected" ? colour.text : colour.muted;
  g.lineWidth = kind === "selected" ? 2 : 1;
  g.strokeRect(from - 1.5, y - 0.5, Math.max(4, x(inv.end) - from) + 3, height + 1);
}
