package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// checkCredentials checks your credentials. Without --function they are the function's.
func (d *diagnosis) checkCredentials(ctx context.Context) {
	const fix = "`aws sts get-caller-identity` must answer; try `aws sso login` or --profile"
	why := "without them only settings and network can be checked"
	if d.Clients == nil {
		d.add(Error, d.ClientsError.Error(), why, fix)
		return
	}
	out, err := d.Clients.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	switch {
	case hasCode(err, "Token") || hasCode(err, "Signature") || hasCode(err, "UnrecognizedClient") || hasCode(err, "InvalidClient"):
		d.add(Error, "AWS does not accept your credentials: "+explain(err), "no request can be signed with them", fix)
	case err != nil:
		d.skip("your credentials", err, fix)
	default:
		d.caller, _ = arn.Parse(value(out.Arn)) // without it, what needs it is not checked
		d.ok("you are %s", value(out.Arn))
	}
}

// checkRole asks IAM whether the role may write.
func (d *diagnosis) checkRole(ctx context.Context) {
	role, stream := d.role(), d.streamARN()
	if stream == "" {
		return
	}
	const what = "whether the role may write to the stream"
	if role == "" {
		d.skip(what, errors.New("the role is not known"), "")
		return
	}
	d.simulate(ctx, role, stream, "kinesis:PutRecords", what, nil)
	if d.keyARN != "" {
		d.simulate(ctx, role, d.keyARN, "kms:GenerateDataKey", "whether the role may use the stream's key", map[string]string{
			"kms:ViaService":                        "kinesis." + d.config.AWS.Region + ".amazonaws.com",
			"kms:EncryptionContext:aws:kinesis:arn": stream,
		})
	}
}

func (d *diagnosis) simulate(ctx context.Context, role, resource, action, what string, values map[string]string) {
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &role, ActionNames: []string{action}, ResourceArns: []string{resource}}
	for name, value := range values {
		in.ContextEntries = append(in.ContextEntries, iamtypes.ContextEntry{ContextKeyName: &name, ContextKeyType: iamtypes.ContextKeyTypeEnumString, ContextKeyValues: []string{value}})
	}
	out, err := d.Clients.iam.SimulatePrincipalPolicy(ctx, in)
	if err == nil && len(out.EvaluationResults) == 0 {
		err = errors.New("IAM gives no result")
	}
	if err != nil {
		d.skip(what, err, "allow yourself iam:SimulatePrincipalPolicy, or run: aws iam simulate-principal-policy --policy-source-arn "+role+" --action-names "+action+" --resource-arns "+resource)
		return
	}
	result := out.EvaluationResults[0]
	fix := fmt.Sprintf(`aws iam put-role-policy --role-name %s --policy-name kinetel-%s --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"%s","Resource":"%s"}]}'`,
		role[strings.LastIndexByte(role, '/')+1:], strings.ReplaceAll(action, ":", "-"), action, resource)
	because := "no policy of the role allows it"
	switch {
	case result.EvalDecision == iamtypes.PolicyEvaluationDecisionTypeAllowed:
		d.ok("%s may %s on %s, by its own policies", role, action, resource)
		return
	case result.OrganizationsDecisionDetail != nil && !result.OrganizationsDecisionDetail.AllowedByOrganizations:
		because, fix = "a policy of the organization (SCP) does not allow it", "ask the organization's administrators to allow "+action
	case result.PermissionsBoundaryDecisionDetail != nil && !result.PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary:
		because, fix = "its permissions boundary does not allow it", "allow "+action+" in the role's permissions boundary"
	case result.EvalDecision == iamtypes.PolicyEvaluationDecisionTypeExplicitDeny:
		because, fix = "a statement denies it", "aws iam simulate-principal-policy --policy-source-arn "+role+" --action-names "+action+" --resource-arns "+resource+" names the statement"
	}
	d.add(Error, fmt.Sprintf("%s may not %s on %s: %s", role, action, resource, because),
		"Kinesis refuses every request, and telemetry is lost when the buffers are full", fix)
}

// checkWrite asks Kinesis with DryRun whether it would accept a record.
func (d *diagnosis) checkWrite(ctx context.Context) {
	stream := d.streamARN()
	if stream == "" || d.silent {
		return
	}
	const what = "whether Kinesis accepts a record"
	if host := hostOf(d.Clients.endpoint); !ofAWS(host) {
		d.skip(what, fmt.Errorf("not tried, because %s may not know DryRun and store the record", host), "")
		return
	}
	_, err := d.kinesis().PutRecords(ctx, &kinesis.PutRecordsInput{
		StreamARN: &stream,
		DryRun:    aws.Bool(true),
		Records:   []types.PutRecordsRequestEntry{{Data: []byte("\n"), PartitionKey: aws.String("kinetel-doctor")}},
	})
	who := "with the function's credentials"
	if d.Function != "" {
		who = "with your credentials, not the role's"
	}
	dryRun := (*types.DryRunOperationException)(nil)
	denied := hasCode(err, "AccessDenied") // also of the key
	key := hasCode(err, "KMS") && !denied && !hasCode(err, "KMSThrottling")
	switch {
	case err == nil:
		d.add(Warning, "Kinesis accepts records "+who+", but it stored one in spite of DryRun", "the record has a newline and no event", "ignore it")
	case errors.As(err, &dryRun):
		d.ok("Kinesis would accept a record, %s", who)
	case key, denied && d.Function == "":
		d.add(Error, "Kinesis refuses a record, "+who+": "+explain(err), "no telemetry reaches the stream", "docs/troubleshooting.md#what-kinetel-logs")
	default:
		d.skip(what+" "+who, err, "")
	}
}
