package stacks

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
)

// contextPrefix begins the name of every context value of this app.
const contextPrefix = "kinetel:"

// How telemetry is delivered to S3.
const (
	deliveryNone        = "none"
	deliveryS3          = "s3"
	deliveryPartitioned = "s3-partitioned"
)

// settings are the values of the context. The constructs check most of them.
type settings struct {
	mode                kinetelcdk.StreamMode
	shards              int
	retentionHours      int
	encryption          kinetelcdk.Encryption
	writerAccounts      []string
	architectures       []kinetelcdk.Architecture
	defaultArchitecture kinetelcdk.Architecture
	packages            string
	delivery            string
	alarmTopicARN       string
	tags                []tag
	sample              bool
	sampleArchitecture  kinetelcdk.Architecture
	sampleCode          string
}

type tag struct{ name, value string }

// context reads values and collects what is wrong with them.
type context struct {
	values   map[string]string
	read     map[string]bool
	problems []string
}

// read reads the context of an app.
func read(app awscdk.App) *settings {
	c := &context{values: make(map[string]string), read: make(map[string]bool)}
	all, _ := app.Node().GetAllContext(nil).(map[string]any)
	for name, value := range all {
		if name, ours := strings.CutPrefix(name, contextPrefix); ours {
			c.values[name] = strings.TrimSpace(fmt.Sprint(value)) // cdk.json may have numbers
		}
	}

	s := &settings{
		mode:                kinetelcdk.StreamMode(c.text("mode")),
		shards:              c.number("shards"),
		retentionHours:      c.number("retentionHours"),
		encryption:          kinetelcdk.Encryption(c.text("encryption")),
		writerAccounts:      c.list("writerAccounts"),
		defaultArchitecture: kinetelcdk.Architecture(c.text("defaultArchitecture")),
		packages:            c.text("packages"),
		delivery:            c.oneOf("delivery", deliveryNone, deliveryS3, deliveryPartitioned),
		alarmTopicARN:       c.text("alarmTopicArn"),
		tags:                c.tags(),
		sample:              c.oneOf("sample", "true", "false") == "true",
	}
	for _, one := range c.list("architectures") {
		s.architectures = append(s.architectures, kinetelcdk.Architecture(one))
	}
	// There must be a layer for the architecture of the sample.
	preferred := string(kinetelcdk.ARM64)
	if len(s.architectures) > 0 && !slices.Contains(s.architectures, kinetelcdk.ARM64) {
		preferred = string(kinetelcdk.X86_64)
	}
	if c.text("sampleArchitecture") != "" {
		preferred = c.oneOf("sampleArchitecture", string(kinetelcdk.ARM64), string(kinetelcdk.X86_64))
	}
	s.sampleArchitecture = kinetelcdk.Architecture(preferred)
	goarch := map[kinetelcdk.Architecture]string{kinetelcdk.ARM64: "arm64", kinetelcdk.X86_64: "amd64"}[s.sampleArchitecture]
	if s.sampleCode = c.text("sampleCode"); s.sampleCode == "" {
		s.sampleCode = filepath.Join("..", "..", "bin", "sample", goarch)
	}
	if s.sample && !hasBootstrap(s.sampleCode) {
		c.values["sampleCode"] = s.sampleCode
		c.problem("sampleCode", "is neither a zip file nor a folder with bootstrap in it; run `make sample` in Kinetel's repository first, or set %ssample=false", contextPrefix)
	}
	if s.alarmTopicARN != "" && (!strings.HasPrefix(s.alarmTopicARN, "arn:") || strings.Count(s.alarmTopicARN, ":") != 5 || !strings.Contains(s.alarmTopicARN, ":sns:")) {
		c.problem("alarmTopicArn", "is not a topic's ARN, such as arn:aws:sns:eu-west-1:123456789012:alarms")
	}
	c.unknown()
	if len(c.problems) > 0 {
		panic(&kinetelcdk.Error{Path: "context", Problems: c.problems})
	}
	return s
}

func (c *context) problem(name, format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf("%s%s=%q %s", contextPrefix, name, c.values[name], fmt.Sprintf(format, args...)))
}

func (c *context) text(name string) string {
	c.read[name] = true
	return c.values[name]
}

func (c *context) number(name string) int {
	v := c.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		c.problem(name, "must be a whole number, at least 1")
	}
	return n
}

// oneOf returns a value if it is a valid one; the first is the default.
func (c *context) oneOf(name string, valid ...string) string {
	v := c.text(name)
	if v == "" {
		return valid[0]
	}
	if !slices.Contains(valid, v) {
		c.problem(name, "must be one of %s", strings.Join(valid, ", "))
	}
	return v
}

func (c *context) list(name string) (list []string) {
	for one := range strings.SplitSeq(c.text(name), ",") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list
}

// tags returns the tags of everything. You can override application=kinetel.
func (c *context) tags() []tag {
	tags := []tag{{"application", "kinetel"}}
	for _, one := range c.list("tags") {
		name, value, ok := strings.Cut(one, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || value == "" {
			c.problem("tags", "has %q; it must be a list such as team=payments,env=prod", one)
			continue
		}
		if i := slices.IndexFunc(tags, func(t tag) bool { return t.name == name }); i >= 0 {
			tags[i].value = value
			continue
		}
		tags = append(tags, tag{name, value})
	}
	return tags
}

// unknown reports values that nothing reads: their names are misspelt.
func (c *context) unknown() {
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		if !c.read[name] {
			c.problem(name, "is not a value of this app; it has %s", strings.Join(slices.Sorted(maps.Keys(c.read)), ", "))
		}
	}
}
