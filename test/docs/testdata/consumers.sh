before() {
	make package >/dev/null && make_stack && make_function consumer
	command aws sqs create-queue --queue-name telemetry-failed >/dev/null
	aws lambda invoke --function-name orders /dev/stdout
}

# The Python consumer and the SQL read the same stream.
after() {
	export stream && python3 test/docs/testdata/consume.py
}
