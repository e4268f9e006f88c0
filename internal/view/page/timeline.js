// The timeline: what of it is in view, and how it follows the mouse, fingers and the keyboard.
import { clock, plural, short, took } from "./format.js";
import { el, id } from "./dom.js";
import { axis, paint, palette } from "./paint.js";
import * as lanesOf from "./lanes.js";
import * as model from "./model.js";
import * as state from "./state.js";

const followWidth = 10 * 60_000; // how much of a stream is in view at first
const shortest = 0.5; // milliseconds in view
const longest = 400 * 86_400_000;

const canvas = id("canvas");
const box = id("canvas-box");
const tip = id("tip");
const g = canvas.getContext("2d");
const view = { from: 0, to: 1, scroll: 0 };
const latest = Date.UTC(2100, 0);
const slack = 86_400_000; // by which the clocks of a stream and of this machine may differ
const size = { width: 0, height: 0, gutter: 0, font: "" };
let lanes = []; // in view
let all = []; // also those of other times
let range = { first: 0, last: 1 };
let mode = "start"; // start: nothing was chosen; all; follow; free: the user's
let live = false;
let width = followWidth;
let colour = null;
let pending = 0;
let hovered = 0;
let select = () => {};

export const frames = { drawn: 0, totalMs: 0, longestMs: 0 }; // for the tests of the drawing

export function start(onSelect) {
  select = onSelect;
  new ResizeObserver(measure).observe(box);
  document.addEventListener("themechange", () => ((colour = null), draw()));
  model.onChange(update);
  state.onChange(restore);
  id("zoom-in").addEventListener("click", () => zoom(1 / 1.6));
  id("zoom-out").addEventListener("click", () => zoom(1.6));
  id("fit").addEventListener("click", () => setMode("all"));
  id("follow").addEventListener("click", follow);
  legend();
  mouse();
  keyboard();
  restore();
}

export function setLive(isLive) {
  if (live !== isLive) {
    live = isLive;
    place();
  }
}

function legend() {
  const entries = [["cold", "init, cold start"], ["accent", "runtime"], ["error", "error"], ["hold", "held"], ["overhead", "other extensions"], ["stored", "until in Kinesis"]];
  id("legend").append(...entries.map(([name, text]) => el("li", {}, el("i", { class: `swatch ${name}` }), text)));
}

function measure() {
  const ratio = devicePixelRatio || 1;
  size.width = box.clientWidth;
  size.height = box.clientHeight;
  size.gutter = size.width < 600 ? 84 : 190;
  size.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  canvas.width = Math.round(size.width * ratio);
  canvas.height = Math.round(size.height * ratio);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw();
}

const between = (low, n, high) => Math.min(high, Math.max(low, n));

// setView brings times into view, as far as there can be any.
function setView(from, to) {
  const width = between(shortest, to - from, longest);
  view.from = between(0, from, latest - width);
  view.to = view.from + width;
}

// update takes what the model has now.
function update() {
  const s = state.get();
  all = lanesOf.make(model.visible, model.isFiltered(s) ? model.own.map((row) => row.number) : model.environments.keys());
  let first = Infinity;
  let last = -Infinity;
  for (const lane of all) {
    first = Math.min(first, lane.from);
    last = Math.max(last, lane.last);
  }
  if (live) last = Math.min(last, Date.now() + slack);
  range = first < last ? { first, last } : Number.isFinite(first) ? { first, last: first + 1000 } : { first: Date.now() - 1000, last: Date.now() };
  canvas.setAttribute("aria-label", `Timeline of ${plural(model.visible.length, "invocation")} in ${plural(all.length, "environment")}, from ${clock(range.first)} to ${clock(range.last)}`);
  place();
  layout();
}

// layout chooses the lanes. It does so when the view rests: they must not jump under a drag.
function layout() {
  lanes = lanesOf.layout(all, view);
  box.style.setProperty("--lanes", `${Math.round(lanes.height + axis + 14)}px`);
  scrollLanes(0);
  draw();
}

// place moves the view as its mode says.
function place() {
  const isFollowing = mode === "follow" || (mode === "start" && live && range.last - range.first > followWidth);
  id("follow").setAttribute("aria-pressed", String(isFollowing));
  id("fit").setAttribute("aria-pressed", String(!isFollowing && mode !== "free"));
  if (isFollowing) {
    const to = range.last + width * 0.03;
    setView(to - width, to);
  } else if (mode !== "free") {
    const pad = Math.max(2, (range.last - range.first) * 0.02);
    setView(Math.max(range.first - pad, range.last + pad - longest), range.last + pad);
  }
  draw();
}

function setMode(next) {
  mode = next;
  place();
  remember();
}

function follow() {
  width = mode === "free" ? view.to - view.from : Math.min(followWidth, Math.max(1000, (range.last - range.first) / 4));
  setMode("follow");
}

let remembering = 0;

// remember puts the times in view into the address, when the view rests.
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    remembering = 0;
    layout();
    const isFree = mode === "free";
    state.set({ from: isFree ? view.from.toFixed(1) : "", to: isFree ? view.to.toFixed(1) : "" }, false);
  }, 250);
}

// restore takes the times of the address.
function restore() {
  const from = Number(state.get().from);
  const to = Number(state.get().to);
  if (from && to > from && (Math.abs(from - view.from) > 0.1 || Math.abs(to - view.to) > 0.1)) {
    mode = "free";
    setView(from, to);
  } else if (!from && mode === "free" && !remembering) mode = "all";
  place();
  layout();
}

function free() {
  mode = "free";
  place();
  remember();
}

// zoom changes how much is in view; at is the pixel that stays where it is.
function zoom(factor, at = size.gutter + (size.width - size.gutter) / 2) {
  const share = Math.min(1, Math.max(0, (at - size.gutter) / (size.width - size.gutter)));
  const before = view.to - view.from;
  const after = between(shortest, before * factor, longest);
  const from = view.from + (before - after) * share;
  setView(from, from + after);
  free();
}

function pan(pixels) {
  const by = (pixels * (view.to - view.from)) / (size.width - size.gutter);
  setView(view.from + by, view.to + by);
  free();
}

// scrollLanes reports whether there was room to scroll.
function scrollLanes(pixels) {
  const before = view.scroll;
  view.scroll = Math.min(Math.max(0, (lanes.height ?? 0) - size.height + axis + 12), Math.max(0, view.scroll + pixels));
  if (view.scroll === before) return false;
  draw();
  return true;
}

// reveal brings an invocation into view.
export function reveal(inv) {
  if (!inv.start) return; // its time is not known
  if (inv.end < view.from || inv.start > view.to) {
    const half = (view.to - view.from) / 2;
    setView(inv.start - half, inv.start + half);
    free();
  }
  layout();
  const lane = lanes.find((l) => l.env.number === inv.environment);
  if (lane && (lane.y < view.scroll || lane.y + lane.height > view.scroll + size.height - axis)) scrollLanes(lane.y - view.scroll - (size.height - axis) / 2);
}

export function draw() {
  if (!pending) pending = requestAnimationFrame(now);
}

function now() {
  pending = 0;
  if (!size.width) return;
  const begin = performance.now();
  colour ??= palette();
  const marked = new Map();
  if (hovered) marked.set(hovered, "hovered");
  const s = state.get();
  const selected = model.find(s.request, s.env);
  if (selected) marked.set(selected.number, "selected");
  paint(g, lanes, view, size, colour, marked);
  if (!lanes.length && all.length) hint("No environment ran at this time. Press All to see everything.");
  frames.drawn++;
  const took = performance.now() - begin;
  frames.totalMs += took;
  frames.longestMs = Math.max(frames.longestMs, took);
}

function hint(text) {
  g.fillStyle = colour.muted;
  g.textAlign = "center";
  g.fillText(text, size.width / 2, axis + (size.height - axis) / 2);
}

// at returns the invocation or the environment at a point.
function at(px, py) {
  const y = py - axis + view.scroll - 4;
  const lane = lanes.find((l) => y >= l.y - lanesOf.gap / 2 && y < l.y + l.height + lanesOf.gap / 2);
  if (!lane) return null;
  if (px < size.gutter) return { env: lane.env };
  const row = lane.rows[Math.min(lane.rows.length - 1, Math.max(0, Math.floor((y - lane.y) / lane.rowHeight)))];
  const scale = (view.to - view.from) / (size.width - size.gutter);
  const time = view.from + (px - size.gutter) * scale;
  const near = 4 * scale;
  let best = null;
  let distance = near;
  for (let i = lanesOf.firstAt(row.items, time - row.longest - near); i < row.items.length && row.items[i].start <= time + near; i++) {
    const inv = row.items[i];
    const d = time < inv.start ? inv.start - time : time > inv.end ? time - inv.end : 0;
    if (d <= distance && (d < distance || !best || inv.bad)) [best, distance] = [inv, d];
  }
  if (!row.items.length) return { env: lane.env };
  const { initMs, initTookMs } = lane.env;
  if (!best && initMs && time >= initMs - near && time <= initMs + (initTookMs ?? 0) + near) return { env: lane.env };
  return best ? { inv: best } : null;
}

function showTip(found, px, py) {
  const next = found?.inv?.number ?? 0;
  if (next !== hovered) {
    hovered = next;
    draw();
  }
  canvas.classList.toggle("over", Boolean(found));
  tip.hidden = !found;
  if (!found) return;
  const { inv, env } = found;
  const lines = inv
    ? [`${short(inv.requestId)}  ${inv.running ? "running" : inv.status || "no status"}${inv.errorType ? " " + inv.errorType : ""}`, `${clock(inv.start)}  ${inv.running ? "" : took(inv.runtimeEnd - inv.start)}`, [inv.coldStart && "cold start", inv.heldMs && `held ${took(inv.heldMs)}`, inv.stored > inv.end && `in Kinesis after ${took(inv.stored - inv.runtimeEnd)}`].filter(Boolean).join(", ")]
    : [`${env.function} ${short(env.id)}`, env.initTookMs ? `init ${took(env.initTookMs)}` : "", plural(env.invocations, "invocation")];
  tip.replaceChildren(...lines.filter(Boolean).map((line) => el("div", {}, line)));
  const left = Math.min(px + 12, size.width - tip.offsetWidth - 4);
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${py + 14 + tip.offsetHeight > size.height ? Math.max(0, py - tip.offsetHeight - 8) : py + 14}px`;
}

function mouse() {
  const pointers = new Map();
  let moved = 0;
  const place = (e) => {
    const r = canvas.getBoundingClientRect();
    return [e.clientX - r.left, e.clientY - r.top];
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return [Math.max(20, Math.abs(a[0] - b[0])), (a[0] + b[0]) / 2];
  };
  canvas.addEventListener("pointerdown", (e) => {
    if (e.button) return;
    canvas.setPointerCapture(e.pointerId);
    if (!pointers.size) moved = 0;
    pointers.set(e.pointerId, place(e));
  });
  canvas.addEventListener("pointermove", (e) => {
    const [px, py] = place(e);
    const before = pointers.get(e.pointerId);
    if (!before) return e.pointerType === "mouse" && showTip(at(px, py), px, py);
    if (pointers.size === 2) {
      const [was] = spread();
      pointers.set(e.pointerId, [px, py]);
      const [is, middle] = spread();
      moved = 99;
      zoom(was / is, middle);
      return;
    }
    moved += Math.abs(px - before[0]) + Math.abs(py - before[1]);
    if (moved < 4) return;
    pointers.set(e.pointerId, [px, py]);
    showTip(null);
    pan(before[0] - px);
    scrollLanes(before[1] - py);
  });
  const up = (e) => {
    const was = pointers.delete(e.pointerId);
    if (!was || e.type !== "pointerup" || moved >= 4) return;
    const found = at(...place(e));
    if (found) select(found);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => showTip(null));
  canvas.addEventListener("dblclick", (e) => zoom(1 / 3, place(e)[0]));
  canvas.addEventListener("wheel", wheel, { passive: false });
}

// wheel zooms with Ctrl (so does a pinch on a trackpad), pans sideways or with Shift, and
// scrolls lanes that have no room. Otherwise the page scrolls.
function wheel(e) {
  const unit = e.deltaMode === 1 ? 16 : 1;
  const sideways = e.shiftKey ? e.deltaY || e.deltaX : e.deltaX;
  if (e.ctrlKey || e.metaKey) zoom(Math.exp(e.deltaY * unit * 0.003), e.clientX - canvas.getBoundingClientRect().left);
  else if (Math.abs(sideways) > (e.shiftKey ? 0 : Math.abs(e.deltaY))) pan(sideways * unit);
  else if (!scrollLanes(e.deltaY * unit)) return;
  e.preventDefault();
}

function keyboard() {
  const keys = {
    ArrowLeft: () => pan(-(size.width - size.gutter) / 8),
    ArrowRight: () => pan((size.width - size.gutter) / 8),
    ArrowUp: () => scrollLanes(-40),
    ArrowDown: () => scrollLanes(40),
    "+": () => zoom(1 / 1.6),
    "=": () => zoom(1 / 1.6),
    "-": () => zoom(1.6),
    0: () => setMode("all"),
    Home: () => pan(((range.first - view.from) / (view.to - view.from)) * (size.width - size.gutter) - 20),
    End: follow,
    n: () => step(1),
    p: () => step(-1),
  };
  canvas.addEventListener("keydown", (e) => {
    const action = !e.ctrlKey && !e.metaKey && !e.altKey && keys[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (!action) return;
    e.preventDefault();
    action();
  });
}

// step selects the next invocation, or the one before.
function step(by) {
  const s = state.get();
  const selected = model.find(s.request, s.env);
  const index = selected ? model.visible.indexOf(selected) : by > 0 ? -1 : model.visible.length;
  const inv = model.visible[index + by];
  if (!inv) return;
  select({ inv }, false);
  reveal(inv);
}
