package emulator

import (
	"maps"
	"os"
	"regexp"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// renamed are arguments whose names are not those of CloudFormation with other
// capitals. Dots lead into nested properties; nothing means that the template has no
// such property.
var renamed = map[string]map[string]string{
	"aws_kinesis_stream": {
		"Name": "", "RetentionPeriod": "RetentionPeriodHours",
		"EncryptionType": "StreamEncryption.EncryptionType", "KmsKeyId": "StreamEncryption.KeyId",
	},
	"aws_kms_key":                                        {"Policy": "KeyPolicy"},
	"aws_kinesis_resource_policy":                        {"Policy": "ResourcePolicy"},
	"aws_lambda_layer_version":                           {"S3Bucket": "Content.S3Bucket", "S3Key": "Content.S3Key", "SkipDestroy": ""},
	"aws_iam_policy":                                     {"NamePrefix": "", "Policy": "PolicyDocument"},
	"aws_cloudwatch_metric_alarm":                        {"AlarmName": "", "OkActions": "OKActions", "MetricQuery": "Metrics"},
	"aws_cloudwatch_dashboard":                           {"DashboardName": ""},
	"aws_s3_bucket":                                      {"BucketPrefix": ""},
	"aws_s3_bucket_server_side_encryption_configuration": {"Bucket": "", "Rule": "BucketEncryption.ServerSideEncryptionConfiguration"},
	"aws_s3_bucket_public_access_block": {
		"Bucket": "", "BlockPublicAcls": "PublicAccessBlockConfiguration.BlockPublicAcls", "BlockPublicPolicy": "PublicAccessBlockConfiguration.BlockPublicPolicy",
		"IgnorePublicAcls": "PublicAccessBlockConfiguration.IgnorePublicAcls", "RestrictPublicBuckets": "PublicAccessBlockConfiguration.RestrictPublicBuckets",
	},
	"aws_s3_bucket_ownership_controls":      {"Bucket": "", "Rule": "OwnershipControls.Rules"},
	"aws_s3_bucket_lifecycle_configuration": {"Bucket": "", "Rule": "LifecycleConfiguration.Rules"},
	"aws_s3_bucket_policy":                  {"Policy": "PolicyDocument"},
	"aws_cloudwatch_log_group":              {"Name": ""},
	"aws_cloudwatch_log_stream":             {"Name": "LogStreamName"},
	"aws_iam_role":                          {"NamePrefix": "", "AssumeRolePolicy": "AssumeRolePolicyDocument"},
	"aws_iam_role_policy":                   {"Role": ""},
	"aws_iam_role_policy_attachment":        {"Role": ""},
	"aws_kinesis_firehose_delivery_stream": {
		"Name": "", "Destination": "", "KinesisSourceConfiguration": "KinesisStreamSourceConfiguration", "ExtendedS3Configuration": "ExtendedS3DestinationConfiguration",
		"ExtendedS3Configuration.BufferingInterval":                              "ExtendedS3Configuration.BufferingHints.IntervalInSeconds",
		"ExtendedS3Configuration.BufferingSize":                                  "ExtendedS3Configuration.BufferingHints.SizeInMBs",
		"ExtendedS3Configuration.DynamicPartitioningConfiguration.RetryDuration": "ExtendedS3Configuration.DynamicPartitioningConfiguration.RetryOptions.DurationInSeconds",
	},
	"aws_glue_catalog_database": {"Name": "DatabaseInput.Name", "Description": "DatabaseInput.Description"},
	"aws_glue_catalog_table": {
		"Name": "TableInput.Name", "Description": "TableInput.Description", "TableType": "TableInput.TableType", "Parameters": "TableInput.Parameters",
		"PartitionKeys": "TableInput.PartitionKeys", "StorageDescriptor": "TableInput.StorageDescriptor",
	},
	"aws_lambda_function": {"FunctionName": "", "Filename": "", "SourceCodeHash": ""},
}

// inAll are names of nested arguments, in all resources.
var inAll = map[string]string{
	"Filter":                             "", // of everything
	"ApplyServerSideEncryptionByDefault": "ServerSideEncryptionByDefault",
	"BucketArn":                          "BucketARN",
	"CloudwatchLoggingOptions":           "CloudWatchLoggingOptions",
	"Expiration":                         "ExpirationInDays",
	"KinesisStreamArn":                   "KinesisStreamARN",
	"RoleArn":                            "RoleARN",
	"SerDeInfo":                          "SerdeInfo",
	"SseAlgorithm":                       "SSEAlgorithm",
}

// asTemplate returns the resources as the template's properties, by logical names.
func (w *tfEvaluation) asTemplate() map[string]map[string]any {
	all := map[string]map[string]any{}
	for logical, address := range addresses {
		if r, ok := w.resources[address]; ok {
			all[logical] = propertiesOf(address, r)
		}
	}
	for address, logical := range parts {
		r, ok := w.resources[address]
		if !ok || all[logical] == nil {
			continue
		}
		p := propertiesOf(address, r)
		switch kind, _, _ := strings.Cut(address, "."); kind {
		case "aws_iam_role_policy":
			all[logical]["Policies"] = []any{map[string]any{"PolicyName": p["Name"], "PolicyDocument": p["Policy"]}}
		case "aws_iam_role_policy_attachment":
			all[logical]["ManagedPolicyArns"] = []any{p["PolicyArn"]}
		default:
			maps.Copy(all[logical], p)
		}
	}
	return all
}

func propertiesOf(address string, r tfResource) map[string]any {
	kind, _, _ := strings.Cut(address, ".")
	p := plainValue(r.value).(map[string]any)
	moves := renamed[kind]
	for _, from := range sorted(moves) { // nested names are deeper, and longer
		if strings.Contains(from, ".") {
			move(p, from, moves[from])
		}
	}
	for _, from := range sorted(moves) {
		if !strings.Contains(from, ".") {
			move(p, from, moves[from])
		}
	}
	if tags, ok := p["Tags"].(map[string]any); ok && kind != "aws_ssm_parameter" {
		p["Tags"] = pairs("Key", tags)
	}
	switch kind {
	case "aws_cloudwatch_metric_alarm":
		if d, ok := p["Dimensions"].(map[string]any); ok {
			p["Dimensions"] = pairs("Name", d)
		}
		queries, _ := p["Metrics"].([]any)
		for _, q := range queries {
			q := q.(map[string]any)
			if metric, ok := q["Metric"].(map[string]any); ok {
				metric["Dimensions"] = pairs("Name", metric["Dimensions"].(map[string]any))
				q["MetricStat"] = map[string]any{"Metric": metric, "Stat": metric["Stat"], "Period": metric["Period"]}
				delete(metric, "Stat")
				delete(metric, "Period")
				delete(q, "Metric")
			}
		}
	case "aws_s3_bucket_ownership_controls":
		move(p, "OwnershipControls.Rules", "OwnershipControls.Rule")
		rules := p["OwnershipControls"].(map[string]any)
		p["OwnershipControls"] = map[string]any{"Rules": []any{rules["Rule"]}}
	case "aws_s3_bucket_lifecycle_configuration":
		for _, rule := range p["LifecycleConfiguration"].(map[string]any)["Rules"].([]any) {
			rule := rule.(map[string]any)
			delete(rule, "Id") // CloudFormation gives it one
			rule["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"].([]any)[0]
			if e, ok := rule["ExpirationInDays"].([]any); ok {
				rule["ExpirationInDays"] = e[0].(map[string]any)["Days"]
			}
		}
	case "aws_kinesis_firehose_delivery_stream":
		p["DeliveryStreamType"] = "KinesisStreamAsSource"
	case "aws_lambda_function":
		code, err := os.ReadFile(exampleFolder + "/index.py")
		if err != nil {
			panic(err)
		}
		p["Code"] = map[string]any{"ZipFile": string(code)}
	}
	return p
}

// move gives a property another place. Names of the path are made as needed.
func move(p map[string]any, from, to string) {
	for {
		first, rest, nested := strings.Cut(from, ".")
		if !nested {
			break
		}
		next, ok := p[first].(map[string]any)
		if !ok {
			return
		}
		p, from = next, rest
		to = strings.TrimPrefix(to, first+".")
	}
	v, ok := p[from]
	delete(p, from)
	if !ok || to == "" {
		return
	}
	for {
		first, rest, nested := strings.Cut(to, ".")
		if !nested {
			p[to] = v
			return
		}
		if p[first] == nil {
			p[first] = map[string]any{}
		}
		p, to = p[first].(map[string]any), rest
	}
}

// pairs returns a map as a list of pairs, which CloudFormation has instead.
func pairs(key string, m map[string]any) []any {
	var list []any
	for _, name := range sorted(m) {
		list = append(list, map[string]any{key: name, "Value": m[name]})
	}
	return list
}

var placeholderOf = regexp.MustCompile(`<([a-z]\w+\.\w+(?:\["\w+"\])?)\.(\w+)>`)

// plainValue returns a value as encoding/json does, with CloudFormation's names of members,
// without what is null or empty.
func plainValue(v cty.Value) any {
	if v.IsNull() || !v.IsKnown() {
		return nil
	}
	of := v.Type()
	switch {
	case of == cty.String:
		return inner(v.AsString(), templateName)
	case of == cty.Bool:
		return v.True()
	case of == cty.Number:
		f, _ := v.AsBigFloat().Float64()
		return f
	case of.IsObjectType(), of.IsMapType():
		m := map[string]any{}
		for name, e := range v.AsValueMap() {
			e := plainValue(e)
			if l, isList := e.([]any); e == nil || isList && len(l) == 0 {
				continue
			}
			if of.IsObjectType() {
				name = camel(name)
				if other, ok := inAll[name]; ok {
					name = other
				}
			}
			if name != "" {
				m[name] = e
			}
		}
		return m
	}
	l := []any{}
	for _, e := range v.AsValueSlice() {
		l = append(l, plainValue(e))
	}
	return l
}

func camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// templateName gives addresses of resources the names that the template has for them.
func templateName(text string) string {
	text = placeholderOf.ReplaceAllStringFunc(text, func(s string) string {
		m := placeholderOf.FindStringSubmatch(s)
		for logical, address := range addresses {
			if address != m[1] {
				continue
			}
			kind, _, _ := strings.Cut(address, ".")
			refIsARN := kind == "aws_iam_policy" || kind == "aws_lambda_layer_version"
			if m[2] == "arn" && !refIsARN {
				return "<" + logical + ".Arn>"
			}
			return "<" + logical + ">"
		}
		return s
	})
	// CloudFormation's ARN of a log group ends so.
	return strings.ReplaceAll(text, "<SampleLogs.Arn>:*", "<SampleLogs.Arn>")
}
