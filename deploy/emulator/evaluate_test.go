// Package emulator deploys the CloudFormation template into moto, an emulator
// of AWS, and reads the result by the AWS SDK.
//
// moto's CloudFormation knows half of the template's types, neither rules nor
// constraints of parameters, and of the types that it knows not all properties. So
// the template is also evaluated here, as CloudFormation documents it, and the
// result is compared with what it has to be (template_test.go) and given to moto
// by the services' own APIs where moto's CloudFormation would leave it out
// (stack_test.go).
package emulator

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	templateFile = "../cloudformation/kinetel.yaml"
	account      = "123456789012" // moto's
)

// template is a template with intrinsic functions in their long form.
type template map[string]any

// section returns a part of the template, such as Resources.
func (t template) section(name string) map[string]any {
	section, _ := t[name].(map[string]any)
	return section
}

func readTemplate() (template, string, error) {
	text, err := os.ReadFile(templateFile)
	if err != nil {
		return nil, "", err
	}
	t, err := parse(text)
	return t, string(text), err
}

func parse(text []byte) (template, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	v, err := plain(root.Content[0])
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
}

// plain turns a node into maps, lists and scalars, and !Name of the short form into
// the long one. Names that come twice are an error of yaml's own only when it
// decodes into a map, which is not done here.
func plain(n *yaml.Node) (any, error) {
	var v any
	switch n.Kind {
	case yaml.AliasNode:
		return nil, fmt.Errorf("line %d: CloudFormation takes no aliases", n.Line)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if _, twice := m[name]; twice {
				return nil, fmt.Errorf("line %d: %s comes twice", n.Content[i].Line, name)
			}
			var err error
			if m[name], err = plain(n.Content[i+1]); err != nil {
				return nil, err
			}
		}
		v = m
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			e, err := plain(c)
			if err != nil {
				return nil, err
			}
			l = append(l, e)
		}
		v = l
	case yaml.ScalarNode:
		if strings.HasPrefix(n.Tag, "!!") {
			if err := n.Decode(&v); err != nil {
				return nil, err
			}
		} else {
			v = n.Value
		}
	}
	if !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
		return v, nil
	}
	switch name := n.Tag[1:]; name {
	case "Ref", "Condition":
		return map[string]any{name: v}, nil
	case "GetAtt":
		logical, attribute, _ := strings.Cut(v.(string), ".")
		return map[string]any{"Fn::GetAtt": []any{logical, attribute}}, nil
	default:
		return map[string]any{"Fn::" + name: v}, nil
	}
}

// noValue is AWS::NoValue: what has it is not there.
type noValue struct{}

// evaluation is a template with the values that it is evaluated with.
type evaluation struct {
	template
	names map[string]any // of parameters and of pseudo parameters
	// attribute returns an attribute of a resource, or its "Ref".
	attribute func(logical, name string) (string, error)
}

// placeholder stands for a resource that was not made.
func placeholder(logical, attribute string) (string, error) {
	if attribute == "Ref" {
		return "<" + logical + ">", nil
	}
	return "<" + logical + "." + attribute + ">", nil
}

// evaluate checks parameters and rules as CloudFormation does before it makes
// anything.
func evaluate(t template, region string, given map[string]string) (*evaluation, error) {
	w := &evaluation{template: t, attribute: placeholder, names: map[string]any{
		"AWS::AccountId": account,
		"AWS::NoValue":   noValue{},
		"AWS::Partition": "aws",
		"AWS::Region":    region,
		"AWS::StackName": "kinetel",
		"AWS::URLSuffix": "amazonaws.com",
	}}
	var errs []error
	for name, p := range t.section("Parameters") {
		p := p.(map[string]any)
		value := fmt.Sprint(p["Default"])
		if v, ok := given[name]; ok {
			value = v
		}
		of, err := parameter(p, value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		w.names[name] = of
	}
	for name := range given {
		if _, ok := t.section("Parameters")[name]; !ok {
			errs = append(errs, fmt.Errorf("the template has no parameter %s", name))
		}
	}
	if len(errs) != 0 {
		return nil, errors.Join(errs...)
	}
	for name, r := range t.section("Rules") {
		r := r.(map[string]any)
		if c, ok := r["RuleCondition"]; ok && !w.holds(c) {
			continue
		}
		for _, a := range r["Assertions"].([]any) {
			a := a.(map[string]any)
			if !w.holds(a["Assert"]) {
				errs = append(errs, fmt.Errorf("%s: %v", name, a["AssertDescription"]))
			}
		}
	}
	return w, errors.Join(errs...)
}

func parameter(p map[string]any, value string) (any, error) {
	values := []any{value}
	if p["Type"] == "CommaDelimitedList" {
		values = nil
		for v := range strings.SplitSeq(value, ",") {
			values = append(values, v)
		}
	}
	for _, v := range values {
		if pattern, ok := p["AllowedPattern"].(string); ok && !regexp.MustCompile(`\A(?:`+pattern+`)\z`).MatchString(v.(string)) {
			return nil, fmt.Errorf("%q does not match %s: %v", v, pattern, p["ConstraintDescription"])
		}
		if allowed, ok := p["AllowedValues"].([]any); ok && !slices.Contains(allowed, v) {
			return nil, fmt.Errorf("%q is none of %v", v, allowed)
		}
	}
	switch p["Type"] {
	case "String":
		return value, nil
	case "CommaDelimitedList":
		return values, nil
	case "Number":
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, err
		}
		if n < p["MinValue"].(int) || n > p["MaxValue"].(int) {
			return nil, fmt.Errorf("%d is not from %v to %v", n, p["MinValue"], p["MaxValue"])
		}
		return n, nil
	}
	return nil, fmt.Errorf("unknown type %v", p["Type"])
}

// holds evaluates a condition. Mistakes are panics, with the value that has it: a
// test shows them as well.
func (w *evaluation) holds(v any) bool { return w.value(v).(bool) }

func (w *evaluation) condition(name string) bool {
	c, ok := w.section("Conditions")[name]
	if !ok {
		panic("no condition " + name)
	}
	return w.holds(c)
}

// exists reports whether a resource or an output is there under its condition.
func (w *evaluation) exists(of any) bool {
	c, ok := of.(map[string]any)["Condition"].(string)
	return !ok || w.condition(c)
}

func (w *evaluation) ref(logical, attribute string) any {
	if attribute == "Ref" {
		if v, ok := w.names[logical]; ok {
			return v
		}
	}
	resource, ok := w.section("Resources")[logical]
	if !ok {
		panic("nothing is called " + logical)
	}
	if !w.exists(resource) {
		panic(logical + " is needed where it is not there")
	}
	v, err := w.attribute(logical, attribute)
	if err != nil {
		panic(err)
	}
	return v
}

var substitution = regexp.MustCompile(`\$\{(!?)([^}]+)\}`)

func (w *evaluation) value(v any) any {
	switch v := v.(type) {
	case []any:
		l := []any{}
		for _, e := range v {
			if e := w.value(e); e != (noValue{}) {
				l = append(l, e)
			}
		}
		return l
	case map[string]any:
		if len(v) == 1 {
			for name, of := range v {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") {
					return w.function(name, of)
				}
				if c, ok := of.(string); ok && name == "Condition" {
					return w.condition(c)
				}
			}
		}
		m := map[string]any{}
		for name, e := range v {
			if e := w.value(e); e != (noValue{}) {
				m[name] = e
			}
		}
		return m
	}
	return v
}

func (w *evaluation) function(name string, of any) any {
	if name == "Ref" {
		return w.ref(of.(string), "Ref")
	}
	if text, ok := of.(string); ok && name == "Fn::Sub" {
		return substitution.ReplaceAllStringFunc(text, func(s string) string {
			m := substitution.FindStringSubmatch(s)
			if m[1] == "!" {
				return "${" + m[2] + "}"
			}
			logical, attribute, ok := strings.Cut(m[2], ".")
			if !ok {
				attribute = "Ref"
			}
			return fmt.Sprint(w.ref(logical, attribute))
		})
	}
	list, ok := of.([]any)
	if !ok {
		panic(fmt.Sprintf("%s of %v", name, of))
	}
	switch name {
	case "Fn::GetAtt":
		return w.ref(list[0].(string), list[1].(string))
	case "Fn::If": // only what is chosen is evaluated
		if w.condition(list[0].(string)) {
			return w.value(list[1])
		}
		return w.value(list[2])
	}
	args := make([]any, len(list))
	for i, a := range list {
		args[i] = w.value(a)
	}
	switch name {
	case "Fn::Join":
		var parts []string
		for _, p := range args[1].([]any) {
			parts = append(parts, fmt.Sprint(p))
		}
		return strings.Join(parts, args[0].(string))
	case "Fn::Equals":
		return fmt.Sprint(args[0]) == fmt.Sprint(args[1])
	case "Fn::Not":
		return !args[0].(bool)
	case "Fn::And":
		return !slices.Contains(args, any(false))
	case "Fn::Or":
		return slices.Contains(args, any(true))
	case "Fn::EachMemberEquals":
		return !slices.ContainsFunc(args[0].([]any), func(e any) bool { return e != args[1] })
	}
	panic("this evaluation does not know " + name)
}

// resource is a resource that exists, with its evaluated properties.
type resource struct {
	logical, kind string
	properties    map[string]any
	raw           map[string]any
}

// resources returns those that are there, by their logical names.
func (w *evaluation) resources() map[string]resource {
	all := map[string]resource{}
	for logical, r := range w.section("Resources") {
		if w.exists(r) {
			all[logical] = w.resource(logical)
		}
	}
	return all
}

func (w *evaluation) resource(logical string) resource {
	raw := w.section("Resources")[logical].(map[string]any)
	properties, _ := w.value(raw["Properties"]).(map[string]any)
	return resource{logical, raw["Type"].(string), properties, raw}
}

// outputs returns those that are there.
func (w *evaluation) outputs() map[string]any {
	all := map[string]any{}
	for name, o := range w.section("Outputs") {
		if w.exists(o) {
			all[name] = w.value(o.(map[string]any)["Value"])
		}
	}
	return all
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
