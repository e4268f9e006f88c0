"""Invokes the function in every way, and prints what it got."""

import base64
import os

import boto3
from botocore.config import Config

client = boto3.client("lambda")
busy = boto3.client("lambda", endpoint_url=os.environ["BUSY_URL"], config=Config(retries={"total_max_attempts": 1}))


def invoke(c=client, **arguments):
    return c.invoke(**{"FunctionName": "beans", **arguments})


def fails(name, c=client, **arguments):
    try:
        invoke(c, **arguments)
    except getattr(c.exceptions, name) as e:
        r = e.response
        reason = " " + r["Reason"] if "Reason" in r else ""
        print(f"{name}: {r['ResponseMetadata']['HTTPStatusCode']} {r['Error']['Message']}{reason}")


client_context = base64.b64encode(b'{"custom":{"a":"b"}}').decode()
r = invoke(Payload='{"id":"x","lines":1}', LogType="Tail", Qualifier="live", ClientContext=client_context)
print(f"invoked: {r['StatusCode']} {r['ExecutedVersion']} {r['Payload'].read().decode()}")
log = base64.b64decode(r["LogResult"]).decode()
print(f"log: {' '.join(line.split(' ')[0] for line in log.splitlines())}, {str(r['ResponseMetadata']['RequestId'] in log).lower()}")
r = invoke(Payload='{"error":"out of beans"}')
print(f"function error: {r['FunctionError']} {r['Payload'].read().decode()}")
r = invoke(Payload='{"id":"event"}', InvocationType="Event")
print(f"event: {r['StatusCode']}")
r = invoke(InvocationType="DryRun")
print(f"dry run: {r['StatusCode']}")
r = client.invoke_with_response_stream(
    FunctionName="beans", Payload='{"id":"x","chunks":2,"chunkEvery":"20ms","error":"out of beans"}'
)
for event in r["EventStream"]:
    if "PayloadChunk" in event:
        print(f"chunk: {event['PayloadChunk']['Payload'].decode()}", end="")
    if "InvokeComplete" in event:
        print(f"complete: {event['InvokeComplete']['ErrorCode']} {event['InvokeComplete']['ErrorDetails']}")
fails("ResourceNotFoundException", FunctionName="corn")
fails("InvalidRequestContentException", Payload="{")
fails("RequestTooLargeException", Payload='"' + "x" * (7 << 20) + '"')
fails("InvalidParameterValueException", TenantId="blue")
fails("TooManyRequestsException", busy)
