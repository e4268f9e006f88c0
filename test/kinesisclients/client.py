"""Does what ordinary producers and readers do, and prints what it got."""

import datetime
import sys

import boto3

stream = sys.argv[1]
client = boto3.client("kinesis")
minute = datetime.timedelta(minutes=1)


def recent(time):
    return str(abs(datetime.datetime.now(datetime.timezone.utc) - time) < 10 * minute).lower()


def show(r):
    print(f"record: {r['PartitionKey']}, {len(r['Data'])} bytes, recent {recent(r['ApproximateArrivalTimestamp'])}")


client.create_stream(StreamName=stream, ShardCount=1, Tags={"team": "a"})
client.get_waiter("stream_exists").wait(StreamName=stream)
put = client.put_records(
    StreamName=stream,
    Records=[{"PartitionKey": "a", "Data": bytes(range(256))}, {"PartitionKey": "é", "Data": b"two"}],
)
print(f"put: {len(put['Records'])}, failed {put['FailedRecordCount']}")
d = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
print(f"stream: {d['StreamStatus']}, recent {recent(d['StreamCreationTimestamp'])}")
print(f"shards: {len(client.list_shards(StreamName=stream)['Shards'])}")
iterator = client.get_shard_iterator(
    StreamName=stream,
    ShardId="shardId-000000000000",
    ShardIteratorType="AT_TIMESTAMP",
    Timestamp=d["StreamCreationTimestamp"] - minute,
)["ShardIterator"]
for r in client.get_records(ShardIterator=iterator)["Records"]:
    show(r)
for t in client.list_tags_for_stream(StreamName=stream)["Tags"]:
    print(f"tag: {t['Key']}={t['Value']}")
try:
    client.describe_stream(StreamName="missing")
except client.exceptions.ResourceNotFoundException as e:
    print(f"error: {e.response['Error']['Message']}")
consumer = client.register_stream_consumer(StreamARN=d["StreamARN"], ConsumerName="tail")["Consumer"]["ConsumerARN"]
events = client.subscribe_to_shard(
    ConsumerARN=consumer, ShardId="shardId-000000000000", StartingPosition={"Type": "TRIM_HORIZON"}
)["EventStream"]
for e in events:
    print("subscribed:")
    for r in e["SubscribeToShardEvent"]["Records"]:
        show(r)
    break
events.close()
