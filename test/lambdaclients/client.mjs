// Invokes the function in every way, and prints what it got.
import { createRequire } from 'node:module'

const require = createRequire(process.env.KINETEL_KINESIS_CLIENTS + '/')
const lambda = require('@aws-sdk/client-lambda')

const text = bytes => Buffer.from(bytes ?? []).toString()
const client = new lambda.LambdaClient({})
const busy = new lambda.LambdaClient({ endpoint: process.env.BUSY_URL, maxAttempts: 1 })
const invoke = (input, c = client) => c.send(new lambda.InvokeCommand({ FunctionName: 'beans', ...input }))
const fails = async (name, input, c) => {
  try {
    await invoke(input, c)
  } catch (e) {
    if (!(e instanceof lambda[name])) throw e
    console.log(`${name}: ${e.$metadata.httpStatusCode} ${e.message}${e.Reason ? ' ' + e.Reason : ''}`)
  }
}

const clientContext = Buffer.from('{"custom":{"a":"b"}}').toString('base64')
let r = await invoke({ Payload: '{"id":"x","lines":1}', LogType: 'Tail', Qualifier: 'live', ClientContext: clientContext })
console.log(`invoked: ${r.StatusCode} ${r.ExecutedVersion} ${text(r.Payload)}`)
const log = Buffer.from(r.LogResult, 'base64').toString()
console.log(`log: ${log.split('\n').map(line => line.split(' ')[0]).join(' ').trim()}, ${log.includes(r.$metadata.requestId)}`)
r = await invoke({ Payload: '{"error":"out of beans"}' })
console.log(`function error: ${r.FunctionError} ${text(r.Payload)}`)
r = await invoke({ Payload: '{"id":"event"}', InvocationType: 'Event' })
console.log(`event: ${r.StatusCode}`)
r = await invoke({ InvocationType: 'DryRun' })
console.log(`dry run: ${r.StatusCode}`)
const { EventStream } = await client.send(new lambda.InvokeWithResponseStreamCommand({
  FunctionName: 'beans',
  Payload: '{"id":"x","chunks":2,"chunkEvery":"20ms","error":"out of beans"}',
}))
for await (const event of EventStream) {
  if (event.PayloadChunk) process.stdout.write(`chunk: ${text(event.PayloadChunk.Payload)}`)
  if (event.InvokeComplete) console.log(`complete: ${event.InvokeComplete.ErrorCode} ${event.InvokeComplete.ErrorDetails}`)
}
await fails('ResourceNotFoundException', { FunctionName: 'corn' })
await fails('InvalidRequestContentException', { Payload: '{' })
await fails('RequestTooLargeException', { Payload: `"${'x'.repeat(7 << 20)}"` })
await fails('InvalidParameterValueException', { TenantId: 'blue' })
await fails('TooManyRequestsException', {}, busy)
