// Validates values with Ajv in its strict mode. Arguments: the folder of the npm
// packages, and the files of schemas. Input: one {"schema": number, "value": any} a
// line. Output: for each an error as a JSON string, empty if the value is valid.
const [packages, ...files] = process.argv.slice(2);
const fs = require("fs");
const Ajv = require(packages + "/ajv/dist/2020").default;
const addFormats = require(packages + "/ajv-formats").default;

function fail(...words) {
  throw new Error(words.join(" "));
}

const schemas = files.map((file) => {
  const ajv = new Ajv({ strict: true, logger: { log: fail, warn: fail, error: fail } });
  addFormats(ajv);
  const validate = ajv.compile(JSON.parse(fs.readFileSync(file, "utf8")));
  return (value) => (validate(value) ? "" : ajv.errorsText(validate.errors));
});

for (const line of fs.readFileSync(0, "utf8").split("\n").slice(0, -1)) {
  const { schema, value } = JSON.parse(line);
  console.log(JSON.stringify(schemas[schema](value)));
}
