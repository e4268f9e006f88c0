// The table of invocations. Only the rows in view are elements, so that many cost nothing.
import { clock, milliseconds, plural, short } from "./format.js";
import { el, id, setText } from "./dom.js";
import * as model from "./model.js";
import * as state from "./state.js";
import { plainText } from "./text.js";

const rowHeight = 28;
const extra = 8; // rows beyond those in view
const box = id("list-box");
const table = id("list");
const head = id("list-head");
const body = id("list-body");
let rows = [];
let focused = 0; // the number of the invocation that has the focus
let select = () => {};
let shown = ""; // what the rows show
let unreadable = ""; // why, if something cannot be read
let selected = 0; // the number of the invocation with the details

const columns = [
  { name: "time", title: "Time", sort: (i) => i.start, show: (i) => clock(i.start), class: "time" },
  { name: "function", title: "Function", sort: (i) => functionOf(i), show: (i) => functionOf(i), class: "function" },
  { name: "request", title: "Request", show: (i) => (i.own ? "–" : short(i.requestId)), class: "request mono" },
  { name: "status", title: "Status", sort: (i) => (i.failed ? 3 : i.worst >= 5 ? 2 : i.running ? 1 : 0), show: showStatus, class: "status" },
  { name: "runtime", title: "Runtime", unit: "ms", sort: (i) => (i.running ? -1 : i.runtimeEnd - i.start), show: (i) => (i.running ? "" : milliseconds(i.runtimeEnd - i.start)), class: "number" },
  { name: "init", title: "Init", unit: "ms", sort: (i) => (i.coldStart ? initOf(i) : 0), show: (i) => (i.coldStart ? milliseconds(initOf(i)) : ""), class: "number wide" },
  { name: "held", title: "Held", unit: "ms", sort: (i) => i.heldMs ?? 0, show: (i) => milliseconds(i.heldMs), class: "number wide" },
  { name: "stored", title: "In Kinesis", unit: "ms", sort: (i) => i.stored - i.runtimeEnd, show: (i) => (i.storedMs ? milliseconds(Math.max(0, i.storedMs - i.runtimeEnd)) : ""), class: "number wide" },
  { name: "memory", title: "Memory", unit: "MB", sort: (i) => i.maxMemoryMB ?? 0, show: (i) => (i.maxMemoryMB ? String(i.maxMemoryMB) : ""), class: "number wide" },
  { name: "lines", title: "Lines", sort: (i) => i.lines ?? 0, show: (i) => i.lines?.toLocaleString("en-US") ?? "", class: "number lines-count" },
];

const initOf = (inv) => inv.initMs || model.environments.get(inv.environment)?.initTookMs || 0;

const functionOf = (inv) => model.environments.get(inv.environment)?.function ?? "";

function showStatus(inv) {
  if (inv.own) return [el("span", { class: "badge ok" }, "environment")];
  const text = inv.running ? "running" : inv.status || "ended";
  const parts = [el("span", { class: inv.failed ? "badge error" : inv.running ? "badge running" : "badge ok" }, text)];
  if (inv.coldStart) parts.push(el("span", { class: "badge cold" }, "cold"));
  if (inv.sampled === "out") parts.push(el("span", { class: "badge running", title: "Sampling left its lines out" }, "sampled out"));
  if (!inv.failed && inv.errors) parts.push(el("span", { class: "badge error", title: plural(inv.errors, "line") + " of ERROR or worse" }, plural(inv.errors, "error")));
  else if (!inv.failed && inv.warns) parts.push(el("span", { class: "badge cold", title: plural(inv.warns, "line") + " of WARN" }, plural(inv.warns, "warning")));
  return parts;
}

export function start(onSelect) {
  select = onSelect;
  table.setAttribute("aria-colcount", columns.length);
  head.append(...columns.map((c, i) => el("th", { scope: "col", role: "columnheader", class: c.class, "aria-colindex": i + 1 }, c.sort ? el("button", { type: "button", click: () => sortBy(c) }, c.title) : c.title, c.unit && el("span", { class: "unit" }, ` ${c.unit}`))));
  model.onChange(update);
  state.onChange(update);
  box.addEventListener("scroll", () => render());
  new ResizeObserver(() => render()).observe(box);
  body.addEventListener("click", (e) => {
    const row = e.target.closest("tr[data-number]");
    if (row) choose(Number(row.dataset.number));
  });
  body.addEventListener("keydown", key);
  body.addEventListener("focusin", (e) => {
    const row = e.target.closest("tr[data-number]");
    if (row) focused = Number(row.dataset.number);
  });
}

// The order is in the address: a name, or -name for the other way round. At first the latest
// invocation is on top.
function order() {
  const wanted = state.get().sort || "-time";
  const down = wanted.startsWith("-");
  return { column: columns.find((c) => c.sort && c.name === wanted.replace("-", "")) ?? columns[0], down };
}

function sortBy(column) {
  const now = order();
  const down = now.column === column ? !now.down : true;
  state.set({ sort: column.name === "time" && down ? "" : (down ? "-" : "") + column.name }, false);
}

// setUnreadable takes the first reason why something cannot be read.
export function setUnreadable(reason = "") {
  if (reason === unreadable) return;
  unreadable = reason;
  update();
}

function update() {
  const top = Math.floor(box.scrollTop / rowHeight);
  const anchor = box.scrollTop > rowHeight / 2 ? rows[top]?.number : 0; // this row stays where it is
  const { column, down } = order();
  rows = [...model.visible, ...model.own];
  const by = column.sort;
  if (column.name !== "time" || model.own.length) rows.sort((a, b) => (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : a.start - b.start));
  if (down) rows.reverse();
  for (const [i, c] of columns.entries()) head.children[i].setAttribute("aria-sort", c === column ? (down ? "descending" : "ascending") : "none");
  table.setAttribute("aria-rowcount", rows.length + 1);
  const s = state.get();
  setText(id("count"), (model.isFiltered(s) ? `${model.visible.length.toLocaleString("en-US")} of ` : "") + plural(model.invocations.size, "invocation") + (model.searching && s.text ? ", searching…" : ""));
  const empty = id("list-empty");
  empty.hidden = rows.length > 0;
  setText(empty, model.invocations.size ? "No invocation matches the filters." : unreadable ? `This input cannot be read: ${plainText(unreadable)}` : "No invocation has arrived yet.");
  table.hidden = !rows.length;
  shown = "";
  const before = selected;
  selected = (s.request ? model.find(s.request, s.env) : model.findEnvironment(s.env))?.number ?? 0;
  if (selected && selected !== before) reveal(rows.findIndex((inv) => inv.number === selected), 0.5);
  else if (anchor) {
    const index = rows.findIndex((inv) => inv.number === anchor);
    if (index >= 0 && index !== top) {
      render(box.scrollTop + (index - top) * rowHeight);
      box.scrollTop += (index - top) * rowHeight;
      return;
    }
  }
  render();
}

const elements = new Map(); // the rows that are elements, by the number of the invocation
const [above, below] = [spacer(), spacer()];

function spacer() {
  return el("tr", { "aria-hidden": "true", class: "spacer" }, el("td"));
}

// render makes the elements of the rows in view. It changes no more than it has to: a click
// is lost if its element is replaced while the button is down.
function render(scrollTop = box.scrollTop) {
  const from = Math.max(0, Math.floor(scrollTop / rowHeight) - extra);
  const to = Math.min(rows.length, Math.ceil((scrollTop + box.clientHeight) / rowHeight) + extra);
  const key = `${from} ${to} ${selected}`;
  if (key === shown) return;
  shown = key;
  const seen = rows.slice(from, to);
  const hadFocus = body.contains(document.activeElement);
  const tabStop = (seen.find((inv) => inv.number === focused) ?? seen.find((inv) => inv.number === selected) ?? seen[0])?.number;
  const wanted = new Set(seen.map((inv) => inv.number));
  for (const [number, row] of elements) {
    if (wanted.has(number)) continue;
    row.remove();
    elements.delete(number);
  }
  above.firstChild.style.height = `${from * rowHeight}px`;
  below.firstChild.style.height = `${(rows.length - to) * rowHeight}px`;
  if (!above.isConnected) body.replaceChildren(above, below);
  let last = above;
  for (const [i, inv] of seen.entries()) {
    const row = rowOf(inv, from + i, inv.number === tabStop);
    if (last.nextSibling !== row) last.after(row);
    last = row;
  }
  if (hadFocus && !body.contains(document.activeElement)) elements.get(tabStop)?.focus({ preventScroll: true });
}

// rowOf returns the row of an invocation as it is now.
function rowOf(inv, index, hasTabStop) {
  let row = elements.get(inv.number);
  if (!row) {
    row = el("tr", { role: "row", "data-number": inv.number }, ...columns.map((c, i) => el("td", { role: "gridcell", class: c.class, "aria-colindex": i + 1 })));
    elements.set(inv.number, row);
  }
  const snippet = state.get().text && model.snippets.get(inv.number);
  row.title = snippet ? plainText(snippet.text) : "";
  row.className = inv.bad ? "failed" : "";
  row.tabIndex = hasTabStop ? 0 : -1;
  row.setAttribute("aria-rowindex", index + 2);
  row.setAttribute("aria-selected", String(inv.number === selected));
  for (const [i, c] of columns.entries()) {
    const content = [c.show(inv)].flat();
    const text = content.map((part) => part.textContent ?? part).join("");
    if (row.children[i].textContent !== text) row.children[i].replaceChildren(...content);
  }
  return row;
}

function choose(number) {
  const inv = model.invocations.get(number);
  const env = model.environments.get(number);
  if (!inv && !env) return;
  focused = number;
  select({ inv, env });
}

const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity };

function key(e) {
  const index = rows.findIndex((inv) => inv.number === focused);
  if (e.key === "Enter" || e.key === " ") choose(focused);
  else if (e.key in moves) focusRow(Math.max(0, Math.min(rows.length - 1, index + moves[e.key])));
  else return;
  e.preventDefault();
}

// focusRow moves the focus, and brings the row into view.
function focusRow(index) {
  if (!rows[index]) return;
  focused = rows[index].number;
  reveal(index);
  shown = "";
  render();
  elements.get(focused)?.focus({ preventScroll: true });
}

// reveal brings a row into view, if it is not: to an edge, or to a share of the height.
function reveal(index, share = 0) {
  const top = index * rowHeight;
  const room = box.clientHeight - 2 * rowHeight;
  if (index < 0) return;
  if (top < box.scrollTop) box.scrollTop = top - room * share;
  else if (top > box.scrollTop + room) box.scrollTop = top - room * (1 - share);
}

export function focus() {
  const row = body.querySelector('[tabindex="0"]');
  if (row) row.focus();
  else box.focus();
}
