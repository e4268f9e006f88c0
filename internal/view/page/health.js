// How the telemetry is doing: a strip of figures, and a panel with what is behind them.
import { bytes, clock, count, plural, short, took } from "./format.js";
import { el, id, setText } from "./dom.js";
import * as state from "./state.js";
import { plainText } from "./text.js";

const stats = id("stats");
const panel = id("health-panel");
const cells = {};
let latest = null;
let received = 0; // when, by the clock of this page
let connected = null;
let filled = ""; // what the panel shows

const names = [
  ["verdict", "Audit"],
  ["rate", "Events per second"],
  ["age", "Newest event"],
  ["lost", "Reported lost", "minor"],
  ["holes", "Missing", "minor"],
  ["retried", "Sent again", "minor"],
  ["held", "Held, p50 / p99"],
  ["live", "Environments", "minor"],
  ["unreadable", "Cannot be read", "minor"], // hidden if there is none
];

export function start() {
  for (const [name, title, kind = ""] of names) {
    const value = el("span", { class: "value" }, "–");
    cells[name] = el("button", { type: "button", class: `stat ${kind}`, "aria-controls": "health-panel", "aria-expanded": "false", click: () => state.set({ health: state.get().health ? "" : "1" }) }, el("span", { class: "name" }, title), value);
    stats.append(cells[name]);
    cells[name].hidden = name === "unreadable";
  }
  cells.rate.append(el("span", { class: "bars", "aria-hidden": "true" }));
  state.onChange(draw);
  setInterval(age, 1000);
  draw();
}

export function update(health) {
  latest = health;
  received = Date.now();
  draw();
}

export function connection(isConnected) {
  connected = isConnected;
  draw();
}

function put(name, text, kind = "") {
  setText(cells[name].querySelector(".value"), text);
  cells[name].dataset.kind = kind;
}

function draw() {
  const open = Boolean(state.get().health);
  for (const cell of Object.values(cells)) cell.setAttribute("aria-expanded", String(open));
  panel.hidden = !open;
  drawStatus();
  if (!latest) return;
  setText(id("dropped"), latest.dropped ? `, ${plural(latest.dropped, "older event")} dropped` : "");
  const { audit } = latest;
  const lost = Object.values(audit.totals.lost ?? {}).reduce((a, b) => a + b, 0);
  put("verdict", !audit.totals.events ? "no events" : audit.complete ? "complete" : audit.stopped && !audit.totals.unexplained ? "stopped" : "NOT COMPLETE", !audit.totals.events ? "" : audit.complete ? "good" : "bad");
  const rates = latest.perSecond;
  const recent = rates.slice(-10);
  put("rate", count(Math.round(recent.reduce((a, b) => a + b, 0) / recent.length)));
  bars(cells.rate.querySelector(".bars"), rates.slice(-30));
  put("lost", count(lost), lost ? "warn" : "");
  put("holes", count(audit.totals.unexplained), audit.totals.unexplained ? "bad" : "");
  put("unreadable", count(audit.unreadable), audit.unreadable ? "warn" : "");
  cells.unreadable.hidden = !audit.unreadable;
  put("retried", count(latest.retried), latest.retried ? "warn" : "");
  put("held", latest.held.invocations ? `${latest.held.p50Ms.toFixed(1)} / ${latest.held.p99Ms.toFixed(1)} ms` : "–");
  put("live", `${count(latest.liveEnvironments)} live, ${count(latest.endedEnvironments)} ended`);
  age();
  if (open) fill();
  else filled = "";
}

function age() {
  if (!latest?.newestMs) return;
  const since = Math.max(0, latest.timeMs + (Date.now() - received) - latest.newestMs);
  put("age", latest.live && latest.state === "reading" ? (since < 2000 ? "now" : `${took(since).replace(/\.\d+ s/, " s")} ago`) : clock(latest.newestMs, 0));
}

function drawStatus() {
  const text = connected === false ? "not connected: kinetel view has ended, or you are reconnecting" : !latest ? "loading" : latest.state === "failed" ? `failed: ${latest.failure}` : latest.state === "ended" ? "all is read" : latest.live ? "live" : "reading";
  const status = id("status");
  setText(status, text);
  status.dataset.kind = connected === false || latest?.state === "failed" ? "bad" : latest?.state === "reading" ? "good" : "";
  if (latest) {
    setText(id("source"), latest.source);
    document.title = `${latest.source} – kinetel view`;
  }
}

function bars(to, values) {
  const most = Math.max(1, ...values);
  while (to.children.length < values.length) to.append(el("i"));
  values.forEach((n, i) => {
    to.children[i].style.height = `${n ? Math.max(8, (n / most) * 100) : 0}%`;
  });
}

function table(title, rows, empty) {
  return el("section", {}, el("h3", {}, title), rows.length ? el("table", { class: "plain" }, el("tbody", {}, ...rows.map(([name, value, kind]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: `number ${kind ?? ""}` }, value))))) : el("p", { class: "faint" }, empty));
}

function fill() {
  const { timeMs, newestMs, perSecond, ...rest } = latest;
  const now = JSON.stringify(rest);
  if (now === filled) return; // a click is lost if its element is replaced
  filled = now;
  const { audit } = latest;
  const { totals } = audit;
  const counts = [
    ["events, each once", count(totals.events)],
    ["duplicates", count(totals.duplicates)],
    ["missing", count(totals.missing)],
    ["of these, reported lost", count(totals.explained)],
    ["on disk when the environment ended", count(totals.spooled)],
    ["unexplained", count(totals.unexplained), totals.unexplained ? "bad" : ""],
    ["parts missing", count(totals.incompleteEvents)],
    ["records that cannot be read", count(audit.unreadable), audit.unreadable ? "bad" : ""],
  ];
  const losses = Object.entries(totals.lost ?? {}).map(([reason, n]) => [reason, count(n), "warn"]);
  if (totals.lambdaDropped?.times) losses.push(["dropped by Lambda, at least", plural(totals.lambdaDropped.records, "line"), "warn"]);
  const { held } = latest;
  panel.replaceChildren(
    el("p", { class: "verdict", "data-kind": !totals.events ? "" : audit.complete ? "good" : "bad" }, audit.verdict, audit.stopped && ` The audit has stopped: ${audit.stopped}`),
    el(
      "div",
      { class: "columns" },
      table("Audit", counts, ""),
      el("section", {}, table("Losses by reason", losses, "Nothing is reported lost."), holes(audit)),
      el("section", {}, el("h3", {}, "Held after the runtime"), histogram(held), el("p", { class: "faint" }, held.invocations ? `${count(held.held)} of ${plural(held.invocations, "invocation")} held; max ${took(held.maxMs)}` : "No invocation says how long it was held.")),
      audit.unreadableExamples && el("section", {}, el("h3", {}, "Cannot be read"), el("ul", { class: "holes" }, ...audit.unreadableExamples.map((text) => el("li", {}, plainText(text))))),
      table("Delivery", [["requests to Kinesis", count(latest.requests)], ["records sent again", count(latest.retried), latest.retried ? "warn" : ""], ["requests without an answer", count(latest.unknown), latest.unknown ? "warn" : ""], ["events waiting, last report", count(latest.waiting)], ["environments live", count(latest.liveEnvironments)], ["environments ended", count(latest.endedEnvironments)], ["in memory", `${bytes(latest.bytes)} of ${bytes(latest.maxBytes)}`], ["older events dropped", count(latest.dropped), latest.dropped ? "warn" : ""]], ""),
    ),
  );
}

function holes(audit) {
  if (!audit.holes.length) return el("p", { class: "faint" }, "No hole in the numbers.");
  const items = audit.holes.map((h) => el("li", {}, h.timeMs ? `${clock(h.timeMs)} ` : "", el("a", { href: state.link({ request: "", env: h.environment }), class: "mono" }, short(h.environment)), ` ${h.function} ${h.words}`));
  if (audit.moreHoles) items.push(el("li", {}, `and ${count(audit.moreHoles)} more`));
  return el("div", {}, el("h3", {}, "Holes"), el("ul", { class: "holes" }, ...items));
}

function histogram(held) {
  const most = Math.max(1, ...held.counts);
  const label = (i) => (i === 0 ? "0" : i < held.upToMs.length ? `≤ ${held.upToMs[i]}` : `> ${held.upToMs.at(-1)}`);
  return el(
    "table",
    { class: "histogram" },
    el("tbody", {}, ...held.counts.map((n, i) => {
      const bar = el("i", { class: "swatch hold" });
      bar.style.width = `${(n / most) * 100}%`;
      return el("tr", {}, el("th", { scope: "row" }, `${label(i)} ms`), el("td", { class: "track" }, bar), el("td", { class: "number" }, count(n)));
    })),
  );
}
