// Numbers and times for people.

const twoDigits = (n) => String(n).padStart(2, "0");

// clock returns the time of day; digits is how many decimals of a second it has.
export function clock(ms, digits = 3) {
  if (!ms) return "";
  const d = new Date(ms);
  const text = `${twoDigits(d.getHours())}:${twoDigits(d.getMinutes())}:${twoDigits(d.getSeconds())}`;
  return digits ? `${text}.${String(Math.floor(((ms % 1000) + 1000) % 1000)).padStart(3, "0").slice(0, digits)}` : text;
}

export function day(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${twoDigits(d.getMonth() + 1)}-${twoDigits(d.getDate())}`;
}

// took returns a duration with three digits or so.
export function took(ms) {
  if (ms === undefined || ms === null || Number.isNaN(ms)) return "";
  const n = Math.abs(ms);
  if (n < 10) return `${ms.toFixed(2)} ms`;
  if (n < 100) return `${ms.toFixed(1)} ms`;
  if (n < 1000) return `${ms.toFixed(0)} ms`;
  if (n < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  if (n < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
  if (n < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ${Math.floor((ms % 3_600_000) / 60_000)} min`;
  return `${(ms / 86_400_000).toFixed(1)} days`;
}

// milliseconds returns a number for a column whose head has the unit.
export function milliseconds(ms) {
  if (!ms) return "";
  return ms < 1000 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en-US");
}

export const count = (n) => (n ?? 0).toLocaleString("en-US");

export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(1)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

export const short = (id) => id.slice(0, 8);
