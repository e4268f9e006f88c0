# Invokes the function with curl, and prints what it got.
set -eu
url=$AWS_ENDPOINT_URL_LAMBDA/2015-03-31/functions/beans/invocations

curl -s -d '{"id":"x","lines":1}' "$url" && echo
curl -s -d '{"error":"out of beans"}' -D headers "$url" && echo
grep -i '^x-amz-function-error' headers | tr -d '\r'
curl -s -H 'X-Amz-Invocation-Type: Event' -d '{"id":"event"}' -w '%{http_code}\n' "$url"
curl -s -d '{' "$url" && echo
