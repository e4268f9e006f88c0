// The invocations and environments that the page knows, and those that match the filters.
import { getJSON } from "./api.js";
import * as state from "./state.js";

export const invocations = new Map(); // by number
export const environments = new Map(); // by number
export let visible = []; // the invocations that match the filters, by their start
export let own = []; // the environments that have a row of their own, as rows
export let functions = []; // names
export let snippets = new Map(); // what a search found, by the number of the invocation or environment
export let searching = false;

const ranks = { "": 0, trace: 1, debug: 2, info: 3, warn: 4, error: 5, fatal: 6 };
const listeners = [];
let scheduled = false;
let search = { key: "", next: 0, abort: null };

export function onChange(listener) {
  listeners.push(listener);
}

// apply adds what the server says has changed.
export function apply(changes) {
  if (changes.reset) {
    invocations.clear();
    environments.clear();
    search.key = "";
  }
  for (const env of changes.environments ?? []) environments.set(env.number, env);
  for (const inv of changes.invocations ?? []) invocations.set(inv.number, complete(inv));
  for (const number of changes.removed ?? []) {
    invocations.delete(number);
    environments.delete(number);
    snippets.delete(number);
  }
  schedule();
}

// complete adds what the drawing needs: the ends of the phases, in milliseconds since 1970.
function complete(inv) {
  inv.start = inv.startMs || inv.firstMs;
  const runtime = inv.runtimeMs || Math.max(0, (inv.durationMs ?? 0) - (inv.overheadMs ?? 0));
  inv.done = runtime ? inv.start + runtime : inv.doneMs || 0;
  inv.running = !inv.status && !inv.done;
  inv.runtimeEnd = inv.done || Math.max(inv.lastMs, inv.start);
  inv.heldEnd = inv.runtimeEnd + (inv.heldMs ?? 0);
  inv.end = Math.max(inv.heldEnd, inv.runtimeEnd + (inv.overheadMs ?? 0));
  inv.stored = inv.storedMs && inv.storedMs > inv.runtimeEnd ? inv.storedMs : inv.end;
  inv.failed = Boolean(inv.status) && inv.status !== "success";
  inv.bad = inv.failed || inv.worst >= 5;
  return inv;
}

// schedule filters in the next frame, once for all changes before it.
function schedule() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    refresh();
  }, 50);
}

function matches(inv, s) {
  const env = environments.get(inv.environment);
  return (
    (!s.function || env?.function === s.function) &&
    (!s.status || statusMatches(inv, s.status)) &&
    (!s.severity || inv.worst >= ranks[s.severity]) &&
    (!s.text || snippets.has(inv.number))
  );
}

export const isFiltered = (s) => Boolean(s.text || s.severity || s.function || s.status);

// ownRows returns rows for environments without an invocation, and for those with a match in
// events that belong to no invocation, such as the lines of an init.
function ownRows(s) {
  if (s.status || (s.severity && !s.text)) return [];
  const used = new Set();
  if (!s.text) for (const inv of invocations.values()) used.add(inv.environment);
  const rows = [];
  for (const env of environments.values()) {
    if (s.function && env.function !== s.function) continue;
    if (s.text ? !snippets.has(env.number) : used.has(env.number)) continue;
    const start = env.firstMs;
    rows.push({ own: true, number: env.number, environment: env.number, requestId: "", start, runtimeEnd: start, stored: start, coldStart: Boolean(env.initTookMs), worst: 0 });
  }
  return rows;
}

function statusMatches(inv, status) {
  if (status === "running") return inv.running;
  if (status === "cold") return inv.coldStart === true;
  if (status === "failed") return inv.failed;
  return inv.status === status;
}

// refresh applies the filters, and calls the listeners.
export function refresh() {
  const s = state.get();
  startSearch(s);
  visible = [];
  for (const inv of invocations.values()) if (matches(inv, s)) visible.push(inv);
  visible.sort((a, b) => a.start - b.start || a.number - b.number);
  own = ownRows(s);
  functions = [...new Set([...environments.values()].map((env) => env.function).filter(Boolean))].sort();
  for (const listener of listeners) listener();
}

// startSearch lets the server look for the text. It goes on from where it stopped, so that
// events that arrive later are searched, too.
function startSearch(s) {
  const key = s.text && JSON.stringify([s.text, s.severity]);
  if (key !== search.key) {
    search.abort?.abort();
    search = { key, next: 0, abort: null };
    snippets = new Map();
  }
  if (!key || search.abort) return;
  const mine = search;
  mine.abort = new AbortController();
  searching = true;
  getJSON("search", { text: s.text, severity: ranks[s.severity], after: mine.next }, mine.abort.signal)
    .then((found) => {
      if (search !== mine) return;
      const isNew = found.next !== mine.next;
      mine.next = found.next;
      mine.abort = null;
      searching = found.more;
      for (const m of found.matches) if (!snippets.has(m.invocation || m.environment)) snippets.set(m.invocation || m.environment, m);
      if (isNew) schedule();
      else for (const listener of listeners) listener();
    })
    .catch(() => {
      if (search === mine) mine.abort = null; // the next change searches again
    });
}

// find returns the invocation with a request id, or whose id begins so if there is none; the
// latest if there are several. env is the beginning of an environment's id, to choose between them.
export function find(request, env = "") {
  let found = null;
  if (!request) return found;
  const exact = (inv) => inv.requestId === request;
  for (const inv of invocations.values()) {
    if (inv.requestId.startsWith(request) && environments.get(inv.environment)?.id.startsWith(env) && (!found || exact(inv) > exact(found) || (exact(inv) === exact(found) && inv.number > found.number))) found = inv;
  }
  return found;
}

export function findEnvironment(id) {
  let found = null;
  for (const env of environments.values()) if (id && (env.id === id || (!found && env.id.startsWith(id)))) found = env;
  return found;
}

// isShared reports whether several environments have the request, as after a retry.
export function isShared(request) {
  let n = 0;
  for (const inv of invocations.values()) if (inv.requestId === request) n++;
  return n > 1;
}
