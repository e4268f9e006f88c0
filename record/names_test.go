package record_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/record"
)

// constants returns the sorted values of the string constants of a file whose names have
// the prefix.
func constants(t *testing.T, path, prefix string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) == 0 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	slices.Sort(values)
	return values
}

// The package spells the names out, for its documentation. They are those of the
// pipeline.
func TestNamesAreThoseThatKinetelWrites(t *testing.T) {
	of := func(prefix string) []string { return constants(t, "names.go", prefix) }
	isOwn := func(kind string) bool { return strings.HasPrefix(kind, "kinetel.") }
	all, known := of("Type"), constants(t, "../internal/event/event.go", "Type")
	for _, kind := range known {
		if !slices.Contains(all, kind) {
			t.Errorf("there is no constant of the type %s", kind)
		}
	}
	for _, kind := range all {
		if isOwn(kind) && !slices.Contains(known, kind) {
			t.Errorf("Kinetel does not write the type %s", kind)
		}
	}
	if n := len(all); n < 18 || slices.IndexFunc(all, isOwn) < 0 {
		t.Errorf("only %d types: %v", n, all)
	}
	var severities []string
	for s := event.Trace; s.String() != ""; s++ {
		severities = append(severities, s.String())
	}
	slices.Sort(severities)
	if diff := cmp.Diff(severities, of("Severity")); diff != "" {
		t.Errorf("severities (-want +got):\n%s", diff)
	}
	reasons := of("Loss")
	for _, reason := range reasons {
		if !ledger.Reason(reason).Known() {
			t.Errorf("Kinetel does not know the reason %s", reason)
		}
	}
	if want := len(constants(t, "../internal/ledger/ledger.go", "")); len(reasons) != want {
		t.Errorf("%d reasons, want %d", len(reasons), want)
	}
	if record.LossShutdown != string(ledger.Shutdown) || record.TypeLoss != event.TypeLoss || record.SeverityFatal != event.Fatal.String() {
		t.Error("a name has the value of another")
	}
}
