// Puts invocations into lanes: one for each environment, with several rows if invocations
// overlap, as with Managed Instances.
import { environments } from "./model.js";

const maxRows = 8;
export const gap = 6; // pixels between lanes

// make returns the lanes of invocations that are sorted by their start, in their order,
// and of the environments with these numbers.
export function make(visible, numbers) {
  const byEnvironment = new Map();
  for (const number of numbers) byEnvironment.set(number, []);
  for (const inv of visible) {
    if (!inv.start) continue; // its time is not known: only the table has it
    const list = byEnvironment.get(inv.environment);
    if (list) list.push(inv);
    else byEnvironment.set(inv.environment, [inv]);
  }
  const lanes = [];
  for (const [number, all] of byEnvironment) {
    const env = environments.get(number);
    if (!env || (!all.length && !env.firstMs)) continue;
    const rows = split(all);
    const last = rows.reduce((latest, row) => Math.max(latest, row.last), 0);
    const from = Math.min(env.initMs || (all.length ? Infinity : env.firstMs), all[0]?.start ?? Infinity);
    lanes.push({ env, rows, from, to: Math.max(last, env.lastMs), last: last || env.lastMs, y: 0, height: 0, rowHeight: 0 });
  }
  lanes.sort((a, b) => (a.env.function < b.env.function ? -1 : a.env.function > b.env.function ? 1 : a.env.firstMs - b.env.firstMs));
  return lanes;
}

// layout returns the lanes of environments that ran in the times in view, under each other.
export function layout(all, view) {
  const lanes = all.filter((lane) => lane.from <= view.to && lane.to >= view.from);
  let y = 0;
  for (const lane of lanes) {
    lane.y = y;
    lane.rowHeight = lane.rows.length > 1 ? 10 : lanes.length > 6 ? 16 : 22;
    lane.height = lane.rowHeight * lane.rows.length;
    y += lane.height + gap;
  }
  lanes.height = y;
  return lanes;
}

const newRow = () => ({ items: [], end: 0, last: 0, longest: 0 });

// split divides invocations into rows in which none overlap. longest is how long the longest
// one of a row takes: an invocation that is seen began at most so long before.
function split(all) {
  const rows = [];
  for (const inv of all) {
    let row = rows.find((r) => r.end <= inv.start);
    if (!row && rows.length < maxRows) rows.push((row = newRow()));
    row ??= rows.reduce((a, b) => (a.end <= b.end ? a : b));
    row.items.push(inv);
    row.end = Math.max(row.end, inv.end);
    row.last = Math.max(row.last, inv.stored);
    row.longest = Math.max(row.longest, inv.stored - inv.start);
  }
  return rows.length ? rows : [newRow()];
}

// firstAt returns the index of the first invocation that starts at a time or later.
export function firstAt(items, time) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].start < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
