package config

import (
	"cmp"
	"strings"
)

// logGroupNames is the attribute with the names of log groups (OpenTelemetry's
// semantic conventions, AWS Logs).
const logGroupNames = "aws.log.group.names"

// logGroups returns the function's log groups, and the attributes without them: log
// groups are sent once per environment and not on each line.
// AWS_LAMBDA_LOG_GROUP_NAME is used only if the attributes name no group, because
// Lambda sets it for functions of emulators only.
func (l *loader) logGroups(attributes []Attribute) (others []Attribute, groups []string) {
	wrong := 0
	for _, a := range attributes { // whose names are unique
		if a.Name != logGroupNames {
			others = append(others, a)
			continue
		}
		// Application Signals separates them by &.
		names := strings.FieldsFunc(a.Value, func(c rune) bool { return strings.ContainsRune(`,;&|[]" `, c) })
		groups, wrong = valid(names, len(names), parseLogGroup)
	}
	used := cmp.Or(strings.Join(groups, ","), "Lambda's default")
	if wrong > 0 {
		of := "OTEL_RESOURCE_ATTRIBUTES"
		if strings.Contains(l.text("KINETEL_TAGS"), logGroupNames) {
			of = "KINETEL_TAGS"
		}
		l.replaced(of, used, "%s must be %s", logGroupNames, aLogGroup)
	}
	if v := l.text("AWS_LAMBDA_LOG_GROUP_NAME"); v != "" && len(groups) == 0 {
		groups = []string{v}
	}
	if v := l.text("KINETEL_LOG_GROUP"); v != "" && !isOff(v) {
		if group, ok := parseLogGroup(v); ok {
			groups = []string{group}
		} else {
			l.replaced("KINETEL_LOG_GROUP", used, "must be %s", aLogGroup)
		}
	}
	return others, groups
}

const aLogGroup = "the name of a log group, such as /aws/lambda/orders: 1 to 512 of a-z, A-Z, 0-9, _, -, /, . and #"

// parseLogGroup parses a log group's name, or its ARN,
// arn:PARTITION:logs:REGION:ACCOUNT:log-group:NAME with or without :* after it
// (CloudWatch Logs API reference, CreateLogGroup).
func parseLogGroup(s string) (name string, ok bool) {
	if parts := strings.Split(s, ":"); len(parts) >= 7 && parts[0] == "arn" && parts[2] == "logs" && parts[5] == "log-group" {
		s = parts[6]
	}
	return s, s != "" && len(s) <= 512 && only(s, lower+upper+digits+"_-/.#")
}
