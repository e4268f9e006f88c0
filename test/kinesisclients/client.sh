# Does what a person does with the AWS CLI, and prints what it got.
set -eu
kinesis() { "$AWS" kinesis "$@"; }
stream=$1

kinesis create-stream --stream-name "$stream" --shard-count 1 --tags team=a
kinesis wait stream-exists --stream-name "$stream"
LC_ALL=C awk 'BEGIN { for (i = 0; i < 256; i++) printf "%c", i }' >data
kinesis put-record --stream-name "$stream" --partition-key a --data fileb://data --query ShardId --output text
kinesis put-record --stream-name "$stream" --partition-key é --data two --query ShardId --output text
echo "stream: $(kinesis describe-stream-summary --stream-name "$stream" --query StreamDescriptionSummary.StreamStatus --output text)"
iterator=$(kinesis get-shard-iterator --stream-name "$stream" --shard-id shardId-000000000000 \
	--shard-iterator-type TRIM_HORIZON --query ShardIterator --output text)
kinesis get-records --shard-iterator "$iterator" --query 'Records[].PartitionKey' --output text
kinesis list-tags-for-stream --stream-name "$stream" --query 'Tags[]' --output text
kinesis split-shard --stream-name "$stream" --shard-to-split shardId-000000000000 --new-starting-hash-key 1000
echo "shards: $(kinesis list-shards --stream-name "$stream" --query 'length(Shards)' --output text)"
kinesis describe-stream --stream-name missing 2>&1 || echo "status $?"
