# Invokes the function with the AWS CLI, and prints what it got.
set -eu
invoke() { "$AWS" lambda invoke --function-name beans --output text "$@" out.json; }

invoke --payload '{"id":"x","lines":1}' --log-type Tail --query LogResult | base64 -d | cut -d' ' -f1
cat out.json && echo
invoke --payload '{"error":"out of beans"}' --query FunctionError
cat out.json && echo
invoke --payload '{"id":"event"}' --invocation-type Event --query StatusCode
invoke --invocation-type DryRun --query StatusCode
"$AWS" lambda invoke --function-name corn out.json 2>&1 || echo "status $?"
