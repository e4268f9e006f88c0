package doctor_test

import (
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/doctor/fakeaws"
)

func TestCheckStream(t *testing.T) {
	runCases(t, []checkCase{
		{"a missing stream", func(s *situation) {
			s.answers["DescribeStreamSummary"] = fakeaws.Answer{Code: "ResourceNotFoundException", Message: "no"}
		}, "stream", []string{"error: there is no stream " + streamARN + " in eu-west-1*aws kinesis list-streams --region eu-west-1*"}},
		{"nothing more of a missing stream", func(s *situation) {
			s.answers["DescribeStreamSummary"] = fakeaws.Answer{Code: "ResourceNotFoundException", Message: "no"}
		}, "role", nil},
		{"an unreadable stream", func(s *situation) { s.answers["DescribeStreamSummary"] = refusal }, "stream", []string{"notChecked: the stream " + streamARN + ": AccessDeniedException*kinesis:DescribeStreamSummary*"}},
		{"a Kinesis that does not answer", func(s *situation) {
			s.Timeout = 100 * time.Millisecond
			s.answers["DescribeStreamSummary"] = fakeaws.Answer{Hang: true}
		}, "stream", []string{"notChecked: the stream " + streamARN + ": no answer within the time limit*"}},
		{"a stream that is being deleted", func(s *situation) { s.stream["StreamStatus"] = "DELETING" }, "stream", []string{"error: the stream is being deleted*"}},
		{"a stream that is being created", func(s *situation) { s.stream["StreamStatus"] = "CREATING" }, "stream", []string{"error: the stream is still being created*aws kinesis wait stream-exists*"}},
		{"a stream that ignores partition keys", func(s *situation) { s.stream["RecordDistributionStrategy"] = "AUTO" }, "stream", []string{"warning: the stream distributes records by itself*", "ok: *"}},
		{"a stream that the KCL cannot read", func(s *situation) {
			s.stream["RecordDistributionStrategy"] = "AUTO"
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_FORMAT": "kpl"})
		}, "stream", []string{"error: the stream distributes records by itself*KCL drops aggregated records*", "ok: *"}},
		{"a stream in another region", func(s *situation) { s.Stream = "arn:aws:kinesis:eu-north-1:123456789012:stream/telemetry" }, "stream", []string{"warning: the function is in eu-west-1 and the stream in eu-north-1*", "ok: *"}},
	})
}

func TestCheckEncryption(t *testing.T) {
	runCases(t, []checkCase{
		{"no encryption", func(s *situation) { s.stream["EncryptionType"] = "NONE" }, "encryption", []string{"warning: the stream is not encrypted*aws kinesis start-stream-encryption --stream-arn " + streamARN + "*"}},
		{"a key of the customer's", customerKey, "encryption", []string{"ok: the key's policy allows kms:GenerateDataKey to " + roleARN + "*"}},
		{"AWS's key by its id", func(s *situation) {
			customerKey(s)
			s.answers["DescribeKey"] = fakeaws.Answer{Body: `{"KeyMetadata":{"KeyId":"1234abcd","KeyManager":"AWS","KeyState":"Enabled"}}`}
		}, "encryption", []string{"ok: encrypted with AWS's key*"}},
		{"a disabled key", func(s *situation) {
			customerKey(s)
			s.answers["DescribeKey"] = fakeaws.Answer{Body: `{"KeyMetadata":{"KeyId":"1234abcd","Arn":"` + keyARN + `","KeyState":"Disabled"}}`}
		}, "encryption", []string{"error: the stream's key is in the state Disabled*aws kms enable-key --key-id " + keyARN + "*"}},
		{"a key that will be deleted", func(s *situation) {
			customerKey(s)
			s.answers["DescribeKey"] = fakeaws.Answer{Body: `{"KeyMetadata":{"KeyId":"1234abcd","Arn":"` + keyARN + `","KeyState":"PendingDeletion"}}`}
		}, "encryption", []string{"error: the stream's key will be deleted*aws kms cancel-key-deletion*"}},
		{"a key that is gone", func(s *situation) {
			customerKey(s)
			s.answers["DescribeKey"] = fakeaws.Answer{Code: "NotFoundException"}
		}, "encryption", []string{"error: there is no key " + keyARN + "*"}},
		{"an unreadable key", func(s *situation) { customerKey(s); s.answers["DescribeKey"] = refusal }, "encryption", []string{"notChecked: the key " + keyARN + ": AccessDeniedException*"}},
		{"an unreadable key policy", func(s *situation) { customerKey(s); s.answers["GetKeyPolicy"] = refusal }, "encryption", []string{"ok: encrypted with the key " + keyARN + "*", "notChecked: the key's policy: AccessDeniedException*"}},
		{"a key policy without the role", func(s *situation) {
			customerKey(s)
			s.answers["GetKeyPolicy"] = policy(`[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:role/other"]},"Action":["kms:*"],"Resource":"*"}]`)
		}, "encryption", []string{"error: the key's policy does not allow kms:GenerateDataKey to " + roleARN + "*"}},
		{"AWS's key on the stream of another account", func(s *situation) { otherAccount(s); s.stream["KeyId"] = "alias/aws/kinesis" }, "encryption", []string{"error: the stream of another account has AWS's key*"}},
	})
}

func TestCheckStreamPolicy(t *testing.T) {
	runCases(t, []checkCase{
		{"another account's stream without a policy", func(s *situation) { otherAccount(s); s.answers["GetResourcePolicy"] = fakeaws.Answer{Body: `{}`} }, "policy", []string{"error: the stream has no policy, and the function is in another account*"}},
		{"another account's stream with a policy", func(s *situation) {
			otherAccount(s)
			s.answers["GetResourcePolicy"] = policy(`{"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"kinesis:Put*"}`)
		}, "policy", []string{"ok: the stream's policy allows kinesis:PutRecords to arn:aws:iam::999999999999:role/orders-role*"}},
		{"a stream, and a caller that is not known", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.answers["GetCallerIdentity"], s.answers["GetResourcePolicy"] = refusal, fakeaws.Answer{Body: `{}`}
		}, "policy", nil},
		{"another account's stream with an unreadable policy", func(s *situation) { otherAccount(s); s.answers["GetResourcePolicy"] = refusal }, "policy", []string{"notChecked: the stream's policy*aws kinesis get-resource-policy*"}},
	})
}
