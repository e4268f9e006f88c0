// Shows JSON as a tree. It keeps the text of each value: numbers keep their digits, and
// names that occur twice are shown twice.
import { el } from "./dom.js";
import { appendText } from "./text.js";

const token = /\s*("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:])/gy;

// parse returns a node: {open, members} of an object or an array, {text} of another value, or
// null if the text is no JSON. A member is [name, node].
export function parse(text) {
  token.lastIndex = 0;
  const root = { members: [] };
  const stack = [];
  let at = root;
  let name = null;
  let end = 0;
  for (let m = token.exec(text); m; m = token.exec(text)) {
    end = token.lastIndex;
    const t = m[1];
    if (t === "{" || t === "[") {
      const node = { open: t, members: [] };
      at.members.push([name, node]);
      stack.push(at);
      at = node;
      name = null;
    } else if (t === "}" || t === "]") {
      if (!stack.length || (at.open === "{") !== (t === "}")) return null;
      at = stack.pop();
      name = null;
    } else if (t === ":") {
      if (at.open !== "{" || name !== null) return null;
      const last = at.members.pop();
      if (!last || last[1].text?.[0] !== '"') return null;
      name = last[1].text;
    } else if (t !== ",") {
      at.members.push([name, { text: t }]);
      name = null;
    }
    if (!stack.length) break;
  }
  return !stack.length && root.members.length === 1 && text.slice(end).trim() === "" ? root.members[0][1] : null;
}

export function unquote(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// summary returns an object in one line: the message, then the other members.
export function summary(node, leaveOut = []) {
  if (!node.open) return unquoteText(node);
  if (node.open === "[") return inline(node);
  const message = node.members.find(([n]) => n === '"message"') ?? node.members.find(([n]) => n === '"msg"');
  const metrics = node.members.find(([n, value]) => n === '"metrics"' && value.open === "{");
  const rest = [...node.members.filter((m) => m !== message && m !== metrics && !leaveOut.includes(unquote(m[0] ?? ""))), ...(metrics?.[1].members ?? [])];
  const parts = message ? [unquoteText(message[1])] : [];
  for (const [n, value] of rest.slice(0, 12)) parts.push(`${unquote(n ?? '""')}=${value.open ? inline(value) : unquoteText(value)}`);
  if (rest.length > 12) parts.push("…");
  return parts.join("  ").slice(0, 600);
}

const unquoteText = (node) => String(node.text[0] === '"' ? unquote(node.text) : node.text);

function inline(node, room = 120) {
  if (!node.open) return node.text.slice(0, room);
  let out = node.open;
  for (const [name, value] of node.members) {
    if (out.length > room) {
      out += "…";
      break;
    }
    out += (out.length > 1 ? "," : "") + (name ?? "") + (name === null ? "" : ":") + inline(value, room - out.length);
  }
  return out + (node.open === "{" ? "}" : "]");
}

const pageSize = 200; // members that are shown at once

// tree returns the elements of a node. Objects are made when they are opened.
export function tree(node, highlight, depth = 0) {
  if (!node.open) return value(node, highlight);
  const list = el("ul", { class: "tree" });
  const show = (from) => {
    for (const [name, child] of node.members.slice(from, from + pageSize)) list.append(member(name, child, highlight, depth));
    const left = node.members.length - from - pageSize;
    if (left <= 0) return;
    const more = el("button", { type: "button", click: () => (item.remove(), show(from + pageSize)) }, `${Math.min(left, pageSize)} more`);
    const item = el("li", {}, more);
    list.append(item);
  };
  show(0);
  return list;
}

function member(name, node, highlight, depth) {
  const label = name === null ? [] : [key(name, highlight)];
  if (!node.open || !node.members.length) return el("li", {}, ...label, node.open ? (node.open === "{" ? "{}" : "[]") : value(node, highlight));
  const fold = el("details", { open: depth < 2 }, el("summary", {}, ...label, el("span", { class: "faint" }, ` ${node.open === "{" ? "{" : "["}${node.members.length}${node.open === "{" ? "}" : "]"}`)));
  const fill = () => {
    if (fold.open && fold.children.length === 1) fold.append(tree(node, highlight, depth + 1));
  };
  fold.addEventListener("toggle", fill);
  fill();
  return el("li", {}, fold);
}

function key(name, highlight) {
  const made = el("span", { class: "key" });
  appendText(made, String(unquote(name)), highlight);
  made.append(": ");
  return made;
}

function value(node, highlight) {
  const isText = node.text[0] === '"';
  const made = el("span", { class: isText ? "string" : "literal" });
  appendText(made, isText ? String(unquote(node.text)) : node.text, highlight);
  return made;
}
