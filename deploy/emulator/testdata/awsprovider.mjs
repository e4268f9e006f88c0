// Writes awsprovider.json: the AWS provider's schema, reduced to the resources and the
// blocks that deploy/terraform uses, as "terraform providers schema -json" shows it. It
// is read from the type declarations of the npm package @cdktf/provider-aws, which are
// generated from the provider. They do not tell a set from a list, nor a required block
// from one that has a default. Run it if the module uses a type or a block that the
// file does not have:
//
//	npm install --prefix /tmp/provider --no-save @cdktf/provider-aws@21.22.1
//	node awsprovider.mjs /tmp/provider/node_modules/@cdktf/provider-aws ../../terraform > awsprovider.json
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [, , pkg, module] = process.argv;
const types = new Set();
let text = "";
for (const file of readdirSync(module, { recursive: true }).filter((f) => f.endsWith(".tf"))) {
  text += readFileSync(join(module, file), "utf8");
}
for (const [, kind, type] of text.matchAll(/^(resource|data) "(aws_\w+)"/gm)) types.add(`${kind} ${type}`);
const blocks = new Set(Array.from(text.matchAll(/^ +(?:dynamic "(\w+)"|(\w+)) \{/gm), ([, dynamic, block]) => dynamic ?? block));

const scalars = { string: "string", number: "number", boolean: "bool" };

// The type of an argument, or undefined if it is a block.
function typeOf(text) {
  text = text.replaceAll(/\s+/g, " ").replaceAll(" | cdktf.IResolvable", "").trim();
  const map = text.match(/^\{ \[key: string\]: \(?(\w+)\)?;? \}$/);
  if (map) return ["map", scalars[map[1]]];
  if (text.endsWith("[]") && scalars[text.slice(0, -2)]) return ["list", scalars[text.slice(0, -2)]];
  return scalars[text];
}

function blockOf(declarations, name) {
  const body = declarations.match(new RegExp(`^export interface ${name}\\b[^{]*\\{\n(.*?)^\\}`, "ms"))[1];
  const block = { attributes: {}, block_types: {} };
  for (const [, member, , optional, type] of body.matchAll(/#(\w+) \w+#\w+\}(?:(?!\*\/).)*\*\/\s*readonly (\w+)(\??): ((?:\{[^}]*\}|[^;])+);/gs)) {
    const simple = typeOf(type);
    if (simple) {
      block.attributes[member] = { type: simple, [optional ? "optional" : "required"]: true };
      continue;
    }
    if (!blocks.has(member) && optional) continue;
    const many = type.includes("[]");
    const nested = type.replaceAll(/\s*\|\s*cdktf\.IResolvable|\[\]/g, "").trim();
    block.block_types[member] = {
      nesting_mode: "list", // a set is written like a list
      block: blockOf(declarations, nested),
      ...(optional ? {} : { min_items: 1 }),
      ...(many ? {} : { max_items: 1 }),
    };
  }
  return block;
}

function snake(name) {
  return name.replaceAll(/[A-Z]/g, (c) => "_" + c.toLowerCase());
}

const schemas = { resource: {}, data: {} };
for (const entry of [...types].sort()) {
  const [kind, type] = entry.split(" ");
  const folder = (kind === "data" ? "data-" : "") + type.replaceAll("_", "-");
  const declarations = readFileSync(join(pkg, "lib", folder.replace(/^(data-)?aws-/, kind === "data" ? "data-aws-" : ""), "index.d.ts"), "utf8");
  const [, name] = declarations.match(/^export interface (\w+Config) extends/m);
  const block = blockOf(declarations, name);
  const own = declarations.slice(declarations.indexOf(`static readonly tfResourceType = "${type}"`));
  for (const [, member, result] of own.matchAll(/^ {4}get (\w+)\(\): (string|number|boolean|string\[\]);$/gm)) {
    if (!(snake(member) in block.attributes) && !member.endsWith("Input")) {
      block.attributes[snake(member)] = { type: typeOf(result), computed: true };
    }
  }
  schemas[kind][type] = { block };
}
const { version } = JSON.parse(readFileSync(join(pkg, "package.json"), "utf8")).cdktf.provider;
const lines = (all) => Object.entries(all).map(([type, schema]) => `\t\t${JSON.stringify(type)}: ${JSON.stringify(schema)}`).join(",\n");
console.log(`{
	"provider": "hashicorp/aws",
	"version": "${version}",
	"resource_schemas": {
${lines(schemas.resource)}
	},
	"data_source_schemas": {
${lines(schemas.data)}
	}
}`);
