before() { make_bucket && make_function orders; }

# The function has the layer, the variable and the policy; and the layers are published.
after() {
	command aws lambda get-function-configuration --function-name orders --query '[Layers[].Arn, Environment.Variables]' --output json |
		tr -d '\n' | grep 'kinesis-telemetry-extension-x86_64:1.*stream/kinetel'
	command aws iam list-attached-role-policies --role-name orders-role --output text | grep policy/kinetel
	for region in eu-west-1 us-east-1; do
		command aws ssm get-parameter --region $region --name /telemetry/kinesis/extension/arm64/arn --query Parameter.Value --output text | grep "$region"
	done
}
