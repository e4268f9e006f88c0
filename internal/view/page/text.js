// Shows the text of a line: colours of ANSI as colours, other control characters as signs.
import { el } from "./dom.js";

const maxPieces = 4000; // of a text; what follows them is plain

// What changes how other text looks, or cannot be seen: controls, and directions and widths
// of Unicode. A line feed and a tab stay.
const special = /\x1b\[([0-9;:]*)m|\r?\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

const chunkLength = 8000; // characters that are laid out together

// appendText appends text to an element. What matches the highlighted text is marked. Of a
// long text the browser lays out only the chunks that are in view.
export function appendText(to, text, highlight = "") {
  const state = { pieces: 0, style: { color: "", bold: false, faint: false, underline: false } };
  if (text.length <= 2 * chunkLength) {
    appendChunk(to, text, highlight, state);
    return;
  }
  for (let from = 0; from < text.length; ) {
    let end = from + chunkLength;
    const newline = text.lastIndexOf("\n", end);
    if (newline > from) end = newline + 1;
    else if (/[\udc00-\udfff]/.test(text[end] ?? "")) end++;
    const chunk = el("span", { class: "chunk" });
    appendChunk(chunk, text.slice(from, end), highlight, state);
    to.append(chunk);
    from = end;
  }
}

function appendChunk(to, text, highlight, state) {
  const { style } = state;
  let from = 0;
  const plain = (piece) => {
    if (!piece) return;
    const names = Object.entries(style).filter(([, v]) => v).map(([k, v]) => (k === "color" ? v : `ansi-${k}`));
    const target = names.length ? el("span", { class: names.join(" ") }) : to;
    appendMarked(target, piece, highlight);
    if (target !== to) to.append(target);
  };
  special.lastIndex = 0;
  for (let m = special.exec(text); m && state.pieces < maxPieces; m = special.exec(text)) {
    if (m[0] === "\n" || m[0] === "\r\n") continue;
    state.pieces++;
    plain(text.slice(from, m.index));
    from = m.index + m[0].length;
    if (m[1] !== undefined) applySGR(style, m[1]);
    else to.append(control(m[0]));
  }
  plain(text.slice(from));
}

// control returns the sign of a character: ^[ is Escape.
function control(c) {
  const code = c.codePointAt(0);
  const name = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  const sign = code < 0x20 || code === 0x7f ? "^" + String.fromCodePoint(code ^ 0x40) : name;
  return el("span", { class: "control", title: name }, sign);
}

// applySGR changes a style as an escape sequence of ANSI does. Of 256 colours and RGB only
// the first 16 are shown.
function applySGR(style, codes) {
  const list = (codes || "0").split(/[;:]/).map(Number);
  for (let i = 0; i < list.length; i++) {
    const n = list[i];
    if (n === 0) Object.assign(style, { color: "", bold: false, faint: false, underline: false });
    else if (n === 1) style.bold = true;
    else if (n === 2) style.faint = true;
    else if (n === 4) style.underline = true;
    else if (n === 22) style.bold = style.faint = false;
    else if (n === 24) style.underline = false;
    else if (n >= 30 && n <= 37) style.color = `ansi-${n - 30}`;
    else if (n >= 90 && n <= 97) style.color = `ansi-${n - 90}`;
    else if (n === 39) style.color = "";
    else if (n === 38 || n === 48) {
      if (n === 38 && list[i + 1] === 5 && list[i + 2] < 16) style.color = `ansi-${list[i + 2] % 8}`;
      i += list[i + 1] === 5 ? 2 : 4;
    }
  }
}

// appendMarked appends plain text, and marks what was searched for. ASCII letters match in
// both cases.
function appendMarked(to, text, highlight) {
  if (!highlight) {
    to.append(text);
    return;
  }
  const lower = asciiLower(text);
  const wanted = asciiLower(highlight);
  let from = 0;
  for (let at = lower.indexOf(wanted), marks = 0; at >= 0 && marks < 100; at = lower.indexOf(wanted, from), marks++) {
    to.append(text.slice(from, at), el("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  to.append(text.slice(from));
}

const asciiLower = (text) => text.replace(/[A-Z]/g, (c) => c.toLowerCase());

// plainText returns text without ANSI colours, in one line.
export function plainText(text) {
  return text.replace(special, (all, sgr) => (sgr !== undefined ? "" : all === "\n" || all === "\r\n" ? " " : control(all).textContent));
}
