// The details of an invocation, or of an environment: what is known of it, its spans, and its
// events with their lines.
import { getJSON, getText } from "./api.js";
import { bytes, clock, count, day, plural, short, took } from "./format.js";
import { el, id, setText } from "./dom.js";
import * as json from "./json.js";
import * as model from "./model.js";
import * as state from "./state.js";
import { spans } from "./spans.js";
import { appendText } from "./text.js";

const pageSize = 300;
const box = id("details");
let shown = null; // what is shown: the number, the events that are loaded, the elements
let showPlatform = true;
let returnFocus = () => {};

export function start(onClose) {
  returnFocus = onClose;
  model.onChange(update);
  state.onChange(update);
  box.addEventListener("keydown", (e) => e.key === "Escape" && close());
}

export function close() {
  state.set({ request: "", env: "" });
  returnFocus();
}

export const focus = () => box.focus({ preventScroll: true });

function update() {
  const s = state.get();
  const inv = model.find(s.request, s.env);
  const env = s.request ? model.environments.get(inv?.environment) : model.findEnvironment(s.env);
  const number = inv?.number ?? env?.number ?? 0;
  const wanted = Boolean(s.request || s.env);
  box.hidden = !wanted;
  document.body.classList.toggle("has-details", wanted);
  if (!wanted) {
    shown = null;
    box.replaceChildren();
  } else if (!number) {
    shown = null;
    box.replaceChildren(heading(s.request ? "Request" : "Environment", null), el("p", { class: "empty" }, model.environments.size ? `No event of the ${s.request ? "request" : "environment"} ${s.request || s.env} is in memory.` : "No event has arrived yet."));
  } else if (shown?.number !== number || shown.text !== s.text) show(number, inv, env, s.text);
  else if (shown.events !== (inv ?? env).events) refresh(inv, env);
}

const heading = (title, tools) =>
  el("header", { class: "details-head" }, el("h2", {}, title), ...(tools ?? []), el("button", { type: "button", class: "quiet", click: close, "aria-label": "Close the details", title: "Close (Esc)" }, "✕"));

// show fills the details anew.
function show(number, inv, env, text) {
  const mine = { number, text, events: (inv ?? env).events, last: 0, hasMore: false, loading: false, again: false, all: [], list: el("ol", { class: "lines" }), facts: el("div"), spans: el("div"), more: el("div", { class: "more" }), note: el("p", { class: "faint", role: "status" }) };
  shown = mine;
  const title = inv ? el("span", {}, "Request ", el("span", { class: "mono" }, inv.requestId)) : el("span", {}, "Environment ", el("span", { class: "mono" }, env.id || "unknown"));
  const platform = el("input", { type: "checkbox", change: () => ((showPlatform = platform.checked), drawLines(mine)) });
  platform.checked = showPlatform;
  box.replaceChildren(
    heading(title, [copyButton("Copy link", () => location.href.split("#")[0] + state.link({ from: "", to: "" })), copyButton("Copy as JSON", () => getText("export", { of: number }))]),
    mine.facts,
    mine.spans,
    el("div", { class: "lines-head" }, el("h3", {}, "Events"), el("label", { class: "check" }, platform, " platform events")),
    mine.list,
    mine.more,
    mine.note,
  );
  box.scrollTop = 0;
  fill(mine, inv, env);
  load(mine);
}

function refresh(inv, env) {
  shown.events = (inv ?? env).events;
  fill(shown, inv, env);
  if (!shown.hasMore) load(shown);
}

function fill(mine, inv, env) {
  mine.facts.replaceChildren(facts(inv ? invocationFacts(inv, env) : environmentFacts(env)));
  mine.spans.replaceChildren(...(inv ? [spans(inv, env, mine.all)] : []));
}

// load loads the next events.
async function load(mine) {
  if (mine.loading) {
    mine.again = true; // the answer that is on its way may not have them
    return;
  }
  mine.loading = true;
  try {
    const page = await getJSON("events", { of: mine.number, after: mine.last, limit: pageSize });
    if (shown !== mine) return;
    mine.last = page.lines.at(-1)?.number ?? mine.last;
    mine.hasMore = page.more;
    mine.all.push(...page.lines);
    fill(mine, page.invocation && model.invocations.get(mine.number), model.environments.get(page.environment.number) ?? page.environment);
    drawLines(mine, page.lines);
  } catch (err) {
    if (shown === mine) setText(mine.note, `The events cannot be loaded: ${err.message}`);
  } finally {
    mine.loading = false;
    const again = mine.again && shown === mine && !mine.hasMore;
    mine.again = false;
    if (again) load(mine);
  }
}

// drawLines draws the lines that are new, or all.
function drawLines(mine, added) {
  const begin = mine.all[0]?.timeMs ?? 0;
  const wanted = (line) => showPlatform || line.type === "function" || line.type === "extension" || line.type === "kinetel.limit";
  if (!added) mine.list.replaceChildren();
  mine.list.append(...(added ?? mine.all).filter(wanted).map((line) => lineOf(line, begin, mine.text)));
  mine.more.replaceChildren();
  const { events, dropped = 0 } = model.invocations.get(mine.number) ?? {};
  const left = events ? events - dropped - mine.all.length : 0;
  if (mine.hasMore) mine.more.append(el("button", { type: "button", click: () => load(mine) }, left > 0 ? `Show ${count(Math.min(left, pageSize))} more of ${count(left)}` : "Show more"));
  if (dropped) mine.more.append(el("p", { class: "faint" }, `${plural(dropped, "older event")} dropped from memory.`));
}

function facts(list) {
  return el("dl", { class: "facts" }, ...list.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function invocationFacts(inv, env) {
  const bad = inv.failed ? "bad" : "";
  return [
    ["Status", el("span", { class: bad }, inv.running ? "running" : inv.status || "ended", inv.errorType ? ` (${inv.errorType})` : "")],
    ["Start", inv.start && `${day(inv.start)} ${clock(inv.start)}`],
    ["Runtime", !inv.running && took(inv.runtimeEnd - inv.start)],
    ["Duration", inv.durationMs && took(inv.durationMs)],
    ["Billed", inv.billedMs && `${count(inv.billedMs)} ms`],
    ["Memory", inv.maxMemoryMB && `${inv.maxMemoryMB} of ${inv.memoryMB} MB`],
    ["Cold start", inv.coldStart && (inv.initMs ? `init ${took(inv.initMs)}` : "yes")],
    ["Held", inv.hold && `${took(inv.heldMs ?? 0)} (${inv.hold})`],
    ["Sampling", inv.sampled && `${inv.sampled === "out" ? "left out" : `kept: ${inv.sampled}`}, of a share of ${inv.sampleRate ?? 0}`],
    ["Left out", leftOut(inv.leftOut)],
    ["All extensions", inv.overheadMs && took(inv.overheadMs)],
    ["In Kinesis", inv.storedMs && `${took(Math.max(0, inv.storedMs - inv.runtimeEnd))} after the runtime`],
    ["Function", env && `${env.function}${env.version ? ` ${env.version}` : ""}`],
    ["Environment", env && environmentLink(env)],
    ["Trace", inv.traceId && el("span", { class: "mono" }, inv.traceId)],
  ];
}

const reasons = { sampledOut: "by sampling", maxLines: "by KINETEL_MAX_LINES", maxBytes: "by KINETEL_MAX_BYTES" };

// leftOut says how many lines are not there although nothing failed.
const leftOut = (counts) =>
  Object.entries(counts ?? {})
    .filter(([, n]) => n > 0)
    .map(([name, n]) => `${plural(n, "line")} ${reasons[name] ?? `by ${name}`}`)
    .join(", ");

function environmentLink(env) {
  const href = state.link({ request: "", env: env.id });
  return el("a", { href, class: "mono" }, short(env.id || "unknown"));
}

function environmentFacts(env) {
  return [
    ["Function", `${env.function} ${env.version ?? ""}`],
    ["First event", env.firstMs && `${day(env.firstMs)} ${clock(env.firstMs)}`],
    ["Last event", clock(env.lastMs)],
    ["Init", env.initTookMs && `${took(env.initTookMs)}${env.initStatus ? `, ${env.initStatus}` : ""}`],
    ["Init type", env.initType],
    ["Invocations", count(env.invocations)],
    ["Events", count(env.events)],
    ["Reported lost", env.lost && plural(env.lost, "event")],
    ["State", env.ended ? "ended, with a final report" : "no final report yet"],
  ];
}

// lineOf returns the element of an event.
function lineOf(line, begin, highlight) {
  const isLine = line.type === "function" || line.type === "extension";
  const severity = (line.severity ?? "").toLowerCase();
  const text = el("div", { class: "body" });
  if (!isLine || line.type === "extension") text.append(el("span", { class: "type" }, line.type));
  if (line.parts) text.append(el("span", { class: "type" }, `part ${line.part} of ${line.parts}`));
  fillBody(text, line, highlight);
  const offset = line.timeMs ? line.timeMs - begin : 0;
  return el(
    "li",
    { class: `${isLine ? "line" : "platform"} ${severity}` },
    el("time", { title: line.timeMs ? `${day(line.timeMs)} ${clock(line.timeMs)}${line.seq ? `, seq ${line.seq}` : ""}` : undefined }, `${offset < 0 ? "−" : "+"}${(Math.abs(offset) / 1000).toFixed(3)}`),
    el("span", { class: `severity ${severity}` }, line.severity ?? ""),
    text,
  );
}

// fillBody adds the text of a body, or its JSON.
function fillBody(to, line, highlight) {
  if (line.type === "kinetel.limit" && !line.cut) {
    const events = eventsOf(line.text);
    if (events) {
      to.append(el("span", { class: "text warn" }, `${plural(events, "line")} left out here`), copyEvent(line));
      return;
    }
  }
  const trimmed = withoutPrefix(line.text.trimStart());
  const node = !line.cut && (trimmed[0] === "{" || trimmed[0] === "[") ? json.parse(trimmed) : null;
  if (node?.members?.length) {
    const leaveOut = line.type.startsWith("platform.") || line.type.startsWith("kinetel.") ? ["requestId", "tracing", "spans"] : ["timestamp", "level", "requestId"];
    const short = el("span", { class: "text" });
    appendText(short, json.summary(node, leaveOut), highlight);
    const fold = el("details", { class: "json" }, el("summary", {}, short));
    fold.addEventListener("toggle", () => {
      if (fold.open && fold.children.length === 1) fold.append(json.tree(node, highlight));
    });
    to.append(fold, copyEvent(line));
    return;
  }
  const shown = el("span", { class: "text" });
  appendText(shown, withoutPrefix(line.text).replace(/\r?\n$/, ""), highlight);
  to.append(shown);
  if (line.cut) to.append(" ", showAll(to, line, highlight));
  to.append(copyEvent(line));
}

// eventsOf returns the number of lines that a kinetel.limit reports, or 0.
function eventsOf(text) {
  try {
    const { events } = JSON.parse(text);
    return Number.isFinite(events) ? events : 0;
  } catch {
    return 0; // Kinetel did not write it
  }
}

// withoutPrefix leaves out what runtimes write before a line, and the columns show already:
// time, request id and severity, with tabs between.
const withoutPrefix = (text) => text.replace(/^(\[\w+\]\t)?[^\s]{20,30}\t[0-9a-f-]{36}\t((TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\t)?/, "");

// showAll returns a button that shows all of a line that was cut.
function showAll(to, line, highlight) {
  const button = el("button", { type: "button", class: "all" }, `Show all ${bytes(line.bytes)}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const whole = await getJSON("event", { number: line.number, text: 1 });
      const types = to.querySelectorAll(":scope > .type");
      to.replaceChildren(...types);
      fillBody(to, whole, highlight);
    } catch (err) {
      button.replaceWith(el("span", { class: "bad" }, `It cannot be loaded: ${err.message}`));
    }
  });
  return button;
}

const copyEvent = (line) => copyButton("copy", () => getText("event", { number: line.number }), "copy", "Copy the event as JSON");

// copyButton returns a button that copies a text, and says so.
function copyButton(label, text, kind = "", title = undefined) {
  const button = el("button", { type: "button", class: kind, title, "aria-label": title }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(await text());
      button.textContent = "copied";
    } catch {
      button.textContent = "not copied";
    }
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}
