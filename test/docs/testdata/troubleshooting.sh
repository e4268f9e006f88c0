# The request is that of the latest invocation.
before() {
	make_stream && make_function orders
	command aws lambda update-function-configuration --function-name orders \
		--layers "$(command aws lambda publish-layer-version --layer-name kinesis-telemetry-extension-x86_64 --zip-file "fileb://$WORK/function.zip" --query LayerVersionArn --output text)" \
		--environment "Variables={KINETEL_STREAM_ARN=$(parameter_of stream/arn)}" >/dev/null
	command aws logs create-log-group --log-group-name /aws/lambda/orders
	aws lambda invoke --function-name orders /dev/stdout
	request=$(go run ./cmd/kinetel tail kinetel-Stream-1A2B3C --no-follow -o raw | jq -r 'select(.type == "kinetel.invocation").requestId' | tail -1)
}
