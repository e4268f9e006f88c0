// The spans of an invocation, as bars under each other: what happened when.
import { took } from "./format.js";
import { el } from "./dom.js";

// spans returns the tree. It needs the platform events for what the function's runtime reports.
export function spans(inv, env, lines) {
  const tree = [];
  const add = (depth, name, from, ms, kind) => {
    if (from && ms >= 0) tree.push({ depth, name, from, ms, kind });
  };
  if (inv.coldStart && env?.initMs && env.initTookMs) add(0, "init", env.initMs, env.initTookMs, "cold");
  add(0, "invocation", inv.start, inv.end - inv.start, "whole");
  if (!inv.running) add(1, "runtime", inv.start, inv.runtimeEnd - inv.start, inv.bad ? "error" : "accent");
  for (const span of reported(lines)) add(2, span.name, Date.parse(span.start), span.durationMs, "overhead");
  if (inv.overheadMs) add(1, "extensions", inv.runtimeEnd, inv.overheadMs, "overhead");
  if (inv.heldMs) add(2, "held by Kinetel", inv.runtimeEnd, inv.heldMs, "hold");
  if (inv.storedMs) add(1, "until in Kinesis", inv.runtimeEnd, Math.max(0, inv.storedMs - inv.runtimeEnd), "stored");
  const first = Math.min(...tree.map((s) => s.from));
  // The way into Kinesis may take much longer than the rest: it is cut, so that the rest is seen.
  const end = Math.max(...tree.filter((s) => s.kind !== "stored").map((s) => s.from + s.ms));
  const last = Math.min(Math.max(...tree.map((s) => s.from + s.ms)), end + (end - first));
  const all = Math.max(last - first, 0.001);
  const list = el("ul", { class: "spans", "aria-label": "Spans" });
  for (const s of tree) {
    const bar = el("i", { class: `swatch ${s.kind}${s.from + s.ms > last + 0.001 ? " beyond" : ""}` });
    bar.style.left = `${((s.from - first) / all) * 100}%`;
    bar.style.width = `${Math.max(0.4, (s.ms / all) * 100)}%`;
    const name = el("span", { class: "span-name" }, s.name);
    name.style.paddingLeft = `${s.depth * 12}px`;
    list.append(el("li", {}, name, el("span", { class: "track", "aria-hidden": "true" }, bar), el("span", { class: "number" }, took(s.ms))));
  }
  return list;
}

// reported returns the spans of platform.runtimeDone.
function reported(lines) {
  const done = lines.find((line) => line.type === "platform.runtimeDone" && !line.cut);
  try {
    const list = JSON.parse(done.text).spans;
    return Array.isArray(list) ? list.filter((s) => typeof s?.name === "string" && s.durationMs >= 0 && s.durationMs <= 86_400_000).slice(0, 20) : [];
  } catch {
    return []; // there is none
  }
}
