// Does what ordinary producers and readers do, and prints what it got.
import { createRequire } from 'node:module'

const require = createRequire(process.env.KINETEL_KINESIS_CLIENTS + '/')
const kinesis = require('@aws-sdk/client-kinesis')

const stream = process.argv[2]
const client = new kinesis.KinesisClient({})
const send = (name, input) => client.send(new kinesis[name + 'Command'](input))
const recent = time => Math.abs(Date.now() - time.getTime()) < 600_000
const print = r => console.log(`record: ${r.PartitionKey}, ${r.Data.length} bytes, recent ${recent(r.ApproximateArrivalTimestamp)}`)

await send('CreateStream', { StreamName: stream, ShardCount: 1, Tags: { team: 'a' } })
await kinesis.waitUntilStreamExists({ client, maxWaitTime: 30 }, { StreamName: stream })
const put = await send('PutRecords', {
  StreamName: stream,
  Records: [
    { PartitionKey: 'a', Data: Uint8Array.from({ length: 256 }, (_, i) => i) },
    { PartitionKey: 'é', Data: Buffer.from('two') },
  ],
})
console.log(`put: ${put.Records.length}, failed ${put.FailedRecordCount}`)
const d = (await send('DescribeStreamSummary', { StreamName: stream })).StreamDescriptionSummary
console.log(`stream: ${d.StreamStatus}, recent ${recent(d.StreamCreationTimestamp)}`)
console.log(`shards: ${(await send('ListShards', { StreamName: stream })).Shards.length}`)
const { ShardIterator } = await send('GetShardIterator', {
  StreamName: stream,
  ShardId: 'shardId-000000000000',
  ShardIteratorType: 'AT_TIMESTAMP',
  Timestamp: new Date(d.StreamCreationTimestamp.getTime() - 60_000),
})
for (const r of (await send('GetRecords', { ShardIterator })).Records) print(r)
for (const t of (await send('ListTagsForStream', { StreamName: stream })).Tags) console.log(`tag: ${t.Key}=${t.Value}`)
try {
  await send('DescribeStream', { StreamName: 'missing' })
} catch (e) {
  if (!(e instanceof kinesis.ResourceNotFoundException)) throw e
  console.log(`error: ${e.message}`)
}
const { Consumer } = await send('RegisterStreamConsumer', { StreamARN: d.StreamARN, ConsumerName: 'tail' })
const { EventStream } = await send('SubscribeToShard', {
  ConsumerARN: Consumer.ConsumerARN,
  ShardId: 'shardId-000000000000',
  StartingPosition: { Type: 'TRIM_HORIZON' },
})
for await (const e of EventStream) {
  console.log('subscribed:')
  e.SubscribeToShardEvent.Records.forEach(print)
  break
}
process.exit(0) // the subscription would go on for five minutes
