# The AWS CLI with moto. moto makes no stack of the template (deploy/emulator tests it) and
# runs no function, so these two commands are replaced.
aws() {
	case "$1 $2" in
	"lambda invoke") if [[ " $* " == *" --endpoint-url "* ]]; then command aws "$@"; else "$LAMBDA" lambda "$(parameter_of stream/arn)"; fi ;;
	"cloudformation deploy") check_stack "$@" && make_stack ;;
	*) command aws "$@" ;;
	esac
}

# make packages the layers once for all pages: compressing them takes half a minute.
make() {
	if [[ " $* " != *" package "* ]]; then
		command make "$@"
	elif [ -e "$PACKAGED" ]; then
		command make build && ls dist
	else
		command make "$@" && touch "$PACKAGED"
	fi
}

parameter_of() { command aws ssm get-parameter --name "/telemetry/kinesis/$1" --query Parameter.Value --output text; }

# check_stack checks the command: the template is there and has each parameter, and the
# layers are in the bucket.
check_stack() {
	local template= layers= version= seen=
	while [ $# -gt 0 ]; do
		case "$1" in
		--template-file) template=$2 && shift ;;
		--parameter-overrides) seen=yes ;;
		LayerBucket=*) layers=${1#*=} ;;
		Version=*) version=${1#*=} ;;
		esac
		if [ "$seen" ] && [[ $1 == *=* ]] && ! grep -q "^  ${1%%=*}:$" "$template"; then
			echo "the template has no parameter ${1%%=*}" >&2
			return 1
		fi
		shift
	done
	for arch in amd64 arm64; do
		command aws s3api head-object --bucket "$layers" --key "kinetel/$version/kinesis-telemetry-extension-$arch.zip" >/dev/null || return
	done
}

# make_stack makes what the pages need of the stack.
make_stack() {
	local arch policy
	make_stream
	for arch in x86_64 arm64; do
		put "extension/$arch/arn" "$(command aws lambda publish-layer-version --layer-name "kinesis-telemetry-extension-$arch" \
			--zip-file "fileb://dist/kinesis-telemetry-extension-${arch/x86_/amd}.zip" --query LayerVersionArn --output text)"
	done
	policy=$(command aws iam create-policy --policy-name kinetel --query Policy.Arn --output text --policy-document \
		'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kinesis:PutRecords","Resource":"*"}]}')
	put runtime/policy/arn "$policy"
}

make_stream() {
	command aws kinesis create-stream --stream-name kinetel-Stream-1A2B3C --shard-count 2
	put stream/arn arn:aws:kinesis:eu-west-1:123456789012:stream/kinetel-Stream-1A2B3C
}

put() { command aws ssm put-parameter --type String --name "/telemetry/kinesis/$1" --value "$2" >/dev/null; }

make_bucket() { command aws s3 mb "s3://$BUCKET"; }

# make_function makes a function as a reader has it.
make_function() {
	local role
	role=$(command aws iam create-role --role-name "$1-role" --assume-role-policy-document '{"Version":"2012-10-17","Statement":[]}' --query Role.Arn --output text)
	printf 'code' >"$WORK/bootstrap" && (cd "$WORK" && python3 -m zipfile -c function.zip bootstrap)
	command aws lambda create-function --function-name "$1" --runtime provided.al2023 --handler bootstrap --role "$role" --zip-file "fileb://$WORK/function.zip" >/dev/null
}
