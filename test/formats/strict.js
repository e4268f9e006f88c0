// Reads one JSON value a line, or records of CloudWatch Logs behind each other, as
// strictly as can be: the input must be UTF-8, and no string may have half a
// surrogate pair. It writes how many values it read.
const text = new TextDecoder("utf-8", { fatal: true }).decode(require("fs").readFileSync(0));

function check(value, at) {
  if (typeof value === "string" && !value.isWellFormed()) throw new Error(`half a surrogate pair in value ${at}`);
  if (value === null || typeof value !== "object") return;
  for (const [name, member] of Object.entries(value)) {
    check(name, at);
    check(member, at);
  }
}

const values = text.replaceAll('}{"messageType"', '}\n{"messageType"').replace(/\n$/, "").split("\n");
values.forEach((value, i) => check(JSON.parse(value), i));
console.log(values.length);
