package docs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/config"
)

// setting is a row of the tables of docs/configuration.md.
type setting struct{ name, otherwise, values string }

func settings(t *testing.T) (all []setting) {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `(KINETEL_[A-Z_]+)` \\| (?:`(.*)`)? *\\| .* \\| (.*) \\|$")
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/configuration.md"), -1) {
		all = append(all, setting{m[1], m[2], m[3]})
	}
	return all
}

// load returns the configuration of a working environment with one more variable.
func load(name, value string) (config.Config, []config.Problem) {
	environ := []string{"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_LAMBDA_FUNCTION_NAME=orders"}
	if !strings.HasPrefix(name, "KINETEL_STREAM_") {
		environ = append(environ, "KINETEL_STREAM_NAME=telemetry")
	}
	if strings.HasPrefix(name, "KINETEL_SAMPLE_") { // which have an effect only with a sample
		environ = append(environ, "KINETEL_SAMPLE=0.5")
	}
	if value != "" {
		environ = append(environ, name+"="+value)
	}
	return config.Load(environ)
}

func TestThePageHasEachVariableOfTheParserAndNoOther(t *testing.T) {
	var page []string
	for _, s := range settings(t) {
		page = append(page, s.name)
	}
	files, err := filepath.Glob(filepath.Join(root, "internal/config/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var parser []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(KINETEL_[A-Z_]*[A-Z])"`).FindAllStringSubmatch(string(code), -1) {
			parser = append(parser, m[1])
		}
	}
	slices.Sort(page)
	slices.Sort(parser)
	parser = slices.Compact(parser)
	if !slices.Equal(page, parser) {
		t.Errorf("docs/configuration.md has\n%v\nand the parser has\n%v", page, parser)
	}
}

func TestTheDefaultsOfThePageAreTheParsers(t *testing.T) {
	for _, s := range settings(t) {
		without, _ := load(s.name, "")
		value := strings.ReplaceAll(s.otherwise, "<function>", "orders")
		with, problems := load(s.name, value)
		if s.name == "KINETEL_LOG_GROUP" { // Lambda's own name is not configured, but assumed
			with.LogGroups, with.Attributes = nil, nil
		}
		if value != "" && len(problems) > 0 || !reflect.DeepEqual(with, without) {
			t.Errorf("%s: the page has the default %q, with which the configuration is\n%+v\nand without it\n%+v (%v)", s.name, value, with, without, problems)
		}
		// No default on the page: an empty one, and not one that the page lacks.
		if s.otherwise == "" && !slices.Contains([]string{
			"KINETEL_STREAM_ARN", "KINETEL_STREAM_NAME", "KINETEL_TAGS", "KINETEL_REQUEST_ID_KEYS",
			"KINETEL_INCLUDE", "KINETEL_EXCLUDE", "KINETEL_SAMPLE_MARK", "KINETEL_REDACT_PATTERN", "KINETEL_REDACT_KEYS",
		}, s.name) {
			t.Errorf("%s has no default on the page", s.name)
		}
	}
}

func TestTheValuesOfThePageAreAccepted(t *testing.T) {
	checked := 0
	for _, s := range settings(t) {
		for _, m := range regexp.MustCompile("`([^` =/…:]+)`").FindAllStringSubmatch(s.values, -1) {
			checked++
			_, problems := load(s.name, m[1])
			for _, p := range problems {
				if p.Severity != config.Warning && !strings.Contains(p.Used, m[1]) {
					t.Errorf("%s=%s: %v", s.name, m[1], p)
				}
			}
		}
		least, most, ok := strings.Cut(s.values, " to ")
		if !ok || !strings.HasPrefix(least, "`") {
			continue
		}
		for bound, beyond := range map[string]string{strings.Trim(least, "`"): "-1", strings.Split(most, "`")[1]: "9999999"} {
			unit := strings.TrimLeft(bound, "0123456789")
			if unit == "" {
				unit = "s" // KINETEL_MAX_HOLD begins at 0
			}
			at, _ := load(s.name, bound)
			is, problems := load(s.name, beyond+unit)
			at.Problems, is.Problems = nil, nil
			if len(problems) == 0 || !reflect.DeepEqual(at, is) {
				t.Errorf("%s: %s is the bound on the page; %s%s gives\n%+v\nand the bound\n%+v", s.name, bound, beyond, unit, is, at)
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d values were found", checked)
	}
}
