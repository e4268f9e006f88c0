"""Runs the Python and the SQL of docs/consumers.md on what is in the stream."""

import base64, contextlib, gzip, io, json, os, pathlib

import boto3, duckdb

WORK = pathlib.Path(os.environ["WORK"])


def records():
    kinesis = boto3.client("kinesis")
    for shard in kinesis.list_shards(StreamName=os.environ["stream"])["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=os.environ["stream"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for record in kinesis.get_records(ShardIterator=iterator)["Records"]:
            yield record["Data"]


stream = list(records())
page = {}
exec((WORK / "consumer.py").read_text(), page)
exec((WORK / "parts.py").read_text(), page)
as_lambda_does = [{"kinesis": {"data": base64.b64encode(data).decode()}} for data in stream]

# The consumer prints each event once, also if a record comes twice.
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    page["handler"]({"Records": as_lambda_does + as_lambda_does}, None)
lines = printed.getvalue().splitlines()
events = [e for record in as_lambda_does for e in page["events"](record)]
assert len(lines) == len(events) > 20, (len(lines), len(events))
assert any(line.endswith("demo-0 line 1 hello ") for line in lines), lines

# It refuses another schema, and a record that expands to too much.
for refused in (b'{"schema":"kinetel/2"}\n', b" " * (page["MOST"] + 1)):
    try:
        page["events"]({"kinesis": {"data": base64.b64encode(gzip.compress(refused))}})
    except ValueError as e:
        assert "schema kinetel/2" in str(e) or "too large" in str(e), e
    else:
        raise AssertionError("a record was not refused")

# Parts become one event, also if one is original bytes; other events pass.
resource = {"service.instance.id": "e"}
parts = [
    {"seq": 8, "part": 2, "parts": 2, "bodyBase64": base64.b64encode(b'": "\xc3\xa9"}').decode(), "body": "?", "resource": resource},
    {"seq": 9, "body": "whole", "resource": resource},
    {"seq": 7, "part": 1, "parts": 2, "body": '{"a', "resource": resource},
]
joined = list(page["join"](parts))
assert [(e["seq"], e["body"]) for e in joined] == [(9, "whole"), (7, {"a": "é"})], joined
assert page["waiting"] == {}

# DuckDB reads the records as Firehose leaves them in S3: behind each other in a file.
(WORK / "objects").mkdir()
(WORK / "objects" / "one.gz").write_bytes(b"".join(stream + stream))
sql = (WORK / "duckdb.sql").read_text()
assert sql.count("'s3://") == 1
sql = sql.replace("s3://my-bucket/kinetel/2026/11/26", str(WORK / "objects"))
_, severities, invocations = [duckdb.execute(s).fetchall() for s in sql.split(";") if s.strip()]
functions = [e for e in events if e["type"] == "function"]
assert sum(row[2] for row in severities) == len(functions) > 10, severities
[(name, count, p99, cold)] = invocations
assert (name, count, cold) == ("orders", 2, 1) and p99 > 0, invocations
print(json.dumps({"events": len(events), "severities": severities, "invocations": invocations}))
