package doctor_test

import (
	"errors"
	"testing"

	"github.com/kinetel/kinetel/internal/doctor/fakeaws"
)

func TestCheckCredentials(t *testing.T) {
	runCases(t, []checkCase{
		{"expired credentials", func(s *situation) {
			s.answers["GetCallerIdentity"] = fakeaws.Answer{Code: "ExpiredToken", Message: "the token has expired"}
		}, "credentials", []string{"error: AWS does not accept your credentials: ExpiredToken: the token has expired*aws sso login*"}},
		{"no credentials", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.ClientsError, s.LookupHost = errors.New("no AWS credentials"), nil
			s.Environ = append(s.Environ, "AWS_ENDPOINT_URL=http://127.0.0.1:1")
		}, "", []string{"ok: stream telemetry*", "error: no AWS credentials*", "error: 127.0.0.1:1 does not answer: *connection refused*"}},
	})
}

func TestCheckRole(t *testing.T) {
	runCases(t, []checkCase{
		{"a role that may not write", func(s *situation) { s.answers["SimulatePrincipalPolicy"] = simulated("implicitDeny", "") }, "role", []string{
			"error: " + roleARN + " may not kinesis:PutRecords on " + streamARN + ": no policy of the role allows it*aws iam put-role-policy --role-name orders-role *\"Action\":\"kinesis:PutRecords\",\"Resource\":\"" + streamARN + "\"*",
		}},
		{"a role with a denying statement", func(s *situation) { s.answers["SimulatePrincipalPolicy"] = simulated("explicitDeny", "") }, "role", []string{"error: *: a statement denies it*"}},
		{"a role with a boundary", func(s *situation) {
			s.answers["SimulatePrincipalPolicy"] = simulated("implicitDeny", "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>false</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>")
		}, "role", []string{"error: *: its permissions boundary does not allow it*"}},
		{"an organization's policy", func(s *situation) {
			s.answers["SimulatePrincipalPolicy"] = simulated("implicitDeny", "<OrganizationsDecisionDetail><AllowedByOrganizations>false</AllowedByOrganizations></OrganizationsDecisionDetail>")
		}, "role", []string{"error: *: a policy of the organization (SCP) does not allow it*"}},
		{"no permission to simulate", func(s *situation) {
			s.answers["SimulatePrincipalPolicy"] = fakeaws.Answer{Code: "AccessDenied", Message: "no"}
		}, "role", []string{"notChecked: whether the role may write to the stream: AccessDenied: no*iam:SimulatePrincipalPolicy, or run: aws iam simulate-principal-policy*"}},
		{"a role and a key", customerKey, "role", []string{"ok: *kinesis:PutRecords on " + streamARN + "*", "ok: *kms:GenerateDataKey on " + keyARN + "*"}},
		{"a caller that is not known", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.answers["GetCallerIdentity"] = refusal
		}, "role", []string{"notChecked: whether the role may write to the stream: the role is not known*"}},
		{"the role of the environment", func(s *situation) { environment(s, "KINETEL_STREAM_NAME=telemetry") }, "role", []string{"ok: arn:aws:iam::123456789012:role/admin may kinesis:PutRecords*"}},
	})
}

func TestCheckWrite(t *testing.T) {
	runCases(t, []checkCase{
		{"your own permission", func(s *situation) { s.answers["PutRecords"] = refusal }, "write", []string{"notChecked: whether Kinesis accepts a record with your credentials, not the role's: AccessDeniedException*"}},
		{"the function's permission", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.answers["PutRecords"] = refusal
		}, "write", []string{"error: Kinesis refuses a record, with the function's credentials: AccessDeniedException*"}},
		{"your own permission to use the key", func(s *situation) {
			s.answers["PutRecords"] = fakeaws.Answer{Code: "KMSAccessDeniedException", Message: "no"}
		}, "write", []string{"notChecked: *KMSAccessDeniedException: no*"}},
		{"a role that may only write", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.answers["DescribeStreamSummary"] = refusal
		}, "write", []string{"ok: Kinesis would accept a record, with the function's credentials*"}},
		{"a key that Kinesis cannot use", func(s *situation) {
			s.answers["PutRecords"] = fakeaws.Answer{Code: "KMSDisabledException", Message: "disabled"}
		}, "write", []string{"error: Kinesis refuses a record, *KMSDisabledException: disabled*"}},
		{"a service without DryRun", func(s *situation) {
			s.answers["PutRecords"] = fakeaws.Answer{Body: `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"0"}]}`}
		}, "write", []string{"warning: Kinesis accepts records *, but it stored one in spite of DryRun*"}},
		{"an emulator", func(s *situation) { s.custom = true }, "write", []string{"notChecked: whether Kinesis accepts a record: not tried, because 127.0.0.1:* may not know DryRun*"}},
	})
}
