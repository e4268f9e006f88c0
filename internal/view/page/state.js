// The state of the page that a link has: the selection, the filters and the zoom. It is in
// the fragment of the address, which no browser sends anywhere.

const names = ["request", "env", "text", "severity", "function", "status", "health", "sort", "from", "to"];
const listeners = [];
let current = parse(location.hash);

function parse(hash) {
  const params = new URLSearchParams(hash.slice(1));
  return Object.fromEntries(names.map((name) => [name, params.get(name) ?? ""]));
}

function format(state) {
  const params = new URLSearchParams(names.filter((name) => state[name]).map((name) => [name, state[name]]));
  return "#" + params;
}

export const get = () => current;

// set changes some of the state. What the user chooses can be gone back from (push); what
// follows from typing or dragging replaces the latest entry of the history.
export function set(change, push = true) {
  const next = { ...current, ...change };
  if (format(next) === format(current)) return;
  current = next;
  history[push ? "pushState" : "replaceState"](null, "", format(next));
  notify();
}

export const link = (change) => format({ ...current, ...change });

export function onChange(listener) {
  listeners.push(listener);
}

function notify() {
  for (const listener of listeners) listener(current);
}

function reread() {
  const next = parse(location.hash);
  if (format(next) === format(current)) return;
  current = next;
  notify();
}

addEventListener("popstate", reread);
addEventListener("hashchange", reread);
