# moto needs the stream of the event source mapping, too.
before() {
	make_stream && make_function consumer
	AWS_ENDPOINT_URL_KINESIS=$AWS_ENDPOINT_URL command aws kinesis create-stream --stream-name kinetel-Stream-1A2B3C --shard-count 2
	aws lambda invoke --function-name orders /dev/stdout
}

# The Python consumer and the SQL read the same stream.
after() {
	export stream && python3 test/docs/testdata/consume.py
}
