"""Validates values with the Python package jsonschema, including formats.

Arguments: the files of schemas. Input: one {"schema": number, "value": any} a line.
Output: for each an error as a JSON string, empty if the value is valid.
"""

import json
import sys

from jsonschema import Draft202012Validator

formats = Draft202012Validator.FORMAT_CHECKER
if "date-time" not in formats.checkers:
    sys.exit("jsonschema does not check date-time: the package rfc3339-validator is missing")

schemas = []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    schemas.append(Draft202012Validator(schema, format_checker=formats))

for line in sys.stdin:
    case = json.loads(line)
    errors = [error.message for error in schemas[case["schema"]].iter_errors(case["value"])]
    print(json.dumps("; ".join(errors)))
