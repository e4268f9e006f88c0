package emulator

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// The Terraform module is evaluated here as the template is (evaluate_test.go). The
// AWS provider's schema (testdata/awsprovider.json) decides what a block may contain.

var topLevel = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "terraform"},
	{Type: "provider", LabelNames: []string{"name"}},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "module", LabelNames: []string{"name"}},
	{Type: "data", LabelNames: []string{"type", "name"}},
	{Type: "resource", LabelNames: []string{"type", "name"}},
	{Type: "output", LabelNames: []string{"name"}},
}}

var (
	metaArguments = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "count"}, {Name: "for_each"}, {Name: "depends_on"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "lifecycle"}},
	}
	lifecycle = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "prevent_destroy", Required: true}}}
)

// tfModule is a folder of .tf files.
type tfModule struct {
	provider provider
	blocks   hcl.Blocks
}

func readModule(fsys fs.FS) (*tfModule, error) {
	p, err := readProvider()
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(fsys, "*.tf")
	if err != nil {
		return nil, err
	}
	m := &tfModule{provider: p}
	parser := hclparse.NewParser()
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		file, diags := parser.ParseHCL(text, name)
		if diags.HasErrors() {
			return nil, diags
		}
		content, diags := file.Body.Content(topLevel)
		if diags.HasErrors() {
			return nil, diags
		}
		m.blocks = append(m.blocks, content.Blocks...)
	}
	return m, nil
}

// tfResource is an instance of a resource.
type tfResource struct {
	value   cty.Value // its arguments
	protect bool      // prevent_destroy
}

// tfEvaluation is a module with the values that it is evaluated with.
type tfEvaluation struct {
	*tfModule
	// scope has what expressions refer to: members of "var", "local" and so on, of types
	// of resources, and of "data." and a type.
	scope     map[string]map[string]cty.Value
	ctx       *hcl.EvalContext      // made of scope; nil if that has changed
	resources map[string]tfResource // by address, without the index of count
	outputs   map[string]cty.Value
}

// evaluate checks variables and evaluates everything. Modules that m calls have the
// values of calls as their outputs.
func (m *tfModule) evaluate(given, calls map[string]cty.Value) (*tfEvaluation, error) {
	w := &tfEvaluation{tfModule: m, resources: map[string]tfResource{}, outputs: map[string]cty.Value{}, scope: map[string]map[string]cty.Value{
		"module": calls,
		"path":   {"module": cty.StringVal(".")},
	}}
	if err := w.variables(given); err != nil {
		return nil, err
	}
	// What an expression needs may come later in the files: what cannot be evaluated
	// yet is tried again for as long as something else was evaluated.
	steps := w.steps()
	for len(steps) > 0 {
		var later []func() error
		var last error
		for _, step := range steps {
			if err := step(); err != nil {
				later, last = append(later, step), err
			}
		}
		if len(later) == len(steps) {
			return nil, last
		}
		steps = later
	}
	return w, nil
}

func (w *tfEvaluation) context() *hcl.EvalContext {
	if w.ctx != nil {
		return w.ctx
	}
	all, data := map[string]cty.Value{}, map[string]cty.Value{}
	for name, members := range w.scope {
		if kind, ok := strings.CutPrefix(name, "data."); ok {
			data[kind] = cty.ObjectVal(members)
		} else {
			all[name] = cty.ObjectVal(members)
		}
	}
	all["data"] = cty.ObjectVal(data)
	w.ctx = &hcl.EvalContext{Variables: all, Functions: tfFunctions}
	return w.ctx
}

func (w *tfEvaluation) set(object, member string, v cty.Value) {
	if w.scope[object] == nil {
		w.scope[object] = map[string]cty.Value{}
	}
	w.scope[object][member] = v
	w.ctx = nil
}

func (w *tfEvaluation) variables(given map[string]cty.Value) error {
	validations := map[string]hcl.Blocks{}
	for _, b := range w.blocks.OfType("variable") {
		content, diags := b.Body.Content(&hcl.BodySchema{
			Attributes: []hcl.AttributeSchema{{Name: "description", Required: true}, {Name: "type", Required: true}, {Name: "default", Required: true}, {Name: "nullable"}},
			Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
		})
		if diags.HasErrors() {
			return diags
		}
		of, diags := typeexpr.TypeConstraint(content.Attributes["type"].Expr)
		if diags.HasErrors() {
			return diags
		}
		v, diags := content.Attributes["default"].Expr.Value(nil)
		if diags.HasErrors() {
			return diags
		}
		name := b.Labels[0]
		if g, ok := given[name]; ok {
			v = g
		}
		v, err := convert.Convert(v, of)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		w.set("var", name, v)
		validations[name] = content.Blocks
	}
	for name := range given {
		if _, ok := validations[name]; !ok {
			return fmt.Errorf("the module has no variable %s", name)
		}
	}
	for _, name := range sorted(validations) {
		for _, b := range validations[name] {
			content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "condition", Required: true}, {Name: "error_message", Required: true}}})
			if diags.HasErrors() {
				return diags
			}
			met, diags := content.Attributes["condition"].Expr.Value(w.context())
			if diags.HasErrors() {
				return diags
			}
			message, diags := content.Attributes["error_message"].Expr.Value(w.context())
			if diags.HasErrors() {
				return diags
			}
			if met.False() {
				return fmt.Errorf("%s", message.AsString())
			}
		}
	}
	return nil
}

// steps returns what is to be evaluated.
func (w *tfEvaluation) steps() []func() error {
	var steps []func() error
	// In the order in which most of them can be evaluated.
	blocks := slices.Concat(w.blocks.OfType("data"), w.blocks.OfType("locals"), w.blocks.OfType("resource"), w.blocks.OfType("output"))
	for _, b := range blocks {
		switch b.Type {
		case "locals":
			attributes, diags := b.Body.JustAttributes()
			steps = append(steps, func() error { return orNil(diags) })
			for name, a := range attributes {
				steps = append(steps, func() error {
					v, diags := a.Expr.Value(w.context())
					if !diags.HasErrors() {
						w.set("local", name, v)
					}
					return orNil(diags)
				})
			}
		case "data", "resource":
			steps = append(steps, func() error { return w.resource(b) })
		case "output":
			steps = append(steps, func() error {
				content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "description", Required: true}, {Name: "value", Required: true}}})
				if diags.HasErrors() {
					return diags
				}
				w.outputs[b.Labels[0]], diags = content.Attributes["value"].Expr.Value(w.context())
				return orNil(diags)
			})
		}
	}
	return steps
}

func orNil(diags hcl.Diagnostics) error {
	if diags.HasErrors() {
		return diags
	}
	return nil
}

// resource evaluates the instances of a resource or a data source.
func (w *tfEvaluation) resource(b *hcl.Block) error {
	meta, body, diags := b.Body.PartialContent(metaArguments)
	if diags.HasErrors() {
		return diags
	}
	schema, ok := w.provider[b.Type][b.Labels[0]]
	if !ok && b.Labels[0] != "archive_file" {
		return fmt.Errorf("%s: testdata/awsprovider.json has no %s: run awsprovider.mjs", b.DefRange, b.Labels[0])
	}
	protect := false
	for _, b := range meta.Blocks {
		content, diags := b.Body.Content(lifecycle)
		if diags.HasErrors() {
			return diags
		}
		v, diags := content.Attributes["prevent_destroy"].Expr.Value(nil)
		if diags.HasErrors() {
			return diags
		}
		protect = v.True()
	}
	address := strings.Join(b.Labels, ".")
	instance := func(address string, ctx *hcl.EvalContext) (cty.Value, error) {
		if !ok {
			return cty.DynamicVal, nil
		}
		v, diags := hcldec.Decode(dynblock.Expand(body, ctx), schema.spec, ctx)
		if diags.HasErrors() {
			return v, diags
		}
		if b.Type == "resource" {
			w.resources[address] = tfResource{v, protect}
		}
		return schema.Block.reference(address), nil
	}
	v, err := w.instances(meta.Attributes, address, instance)
	if err != nil {
		return err
	}
	kind := b.Labels[0]
	if b.Type == "data" {
		kind = "data." + kind
	}
	w.set(kind, b.Labels[1], v)
	return nil
}

// instances evaluates a resource as often as count or for_each says, and returns what
// its name refers to.
func (w *tfEvaluation) instances(meta hcl.Attributes, address string, instance func(string, *hcl.EvalContext) (cty.Value, error)) (cty.Value, error) {
	ctx := w.context()
	if a, ok := meta["count"]; ok {
		n, diags := a.Expr.Value(w.context())
		if diags.HasErrors() || n.Equals(cty.Zero).True() {
			return cty.EmptyTupleVal, orNil(diags)
		}
		v, err := instance(address, ctx)
		return cty.TupleVal([]cty.Value{v}), err
	}
	a, ok := meta["for_each"]
	if !ok {
		return instance(address, ctx)
	}
	each, diags := a.Expr.Value(w.context())
	if diags.HasErrors() {
		return each, diags
	}
	all := map[string]cty.Value{}
	for key, value := range each.AsValueMap() {
		each := ctx.NewChild()
		each.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(key), "value": value})}
		v, err := instance(fmt.Sprintf("%s[%q]", address, key), each)
		if err != nil {
			return v, err
		}
		all[key] = v
	}
	return cty.ObjectVal(all), nil
}

// tfFunctions are the functions that the module uses, as Terraform documents them.
var tfFunctions = map[string]function.Function{
	"can":        tryfunc.CanFunc,
	"concat":     stdlib.ConcatFunc,
	"contains":   stdlib.ContainsFunc,
	"floor":      stdlib.FloorFunc,
	"format":     stdlib.FormatFunc,
	"join":       stdlib.JoinFunc,
	"jsonencode": stdlib.JSONEncodeFunc,
	"length":     stdlib.LengthFunc,
	"merge":      stdlib.MergeFunc,
	"regex":      stdlib.RegexFunc,
	"alltrue": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(!slices.ContainsFunc(args[0].AsValueSlice(), cty.Value.False)), nil
		},
	}),
	"one": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.String), // the module has no other
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			switch l := args[0].AsValueSlice(); len(l) {
			case 0:
				return cty.NullVal(cty.String), nil
			case 1:
				return l[0], nil
			}
			return cty.NilVal, fmt.Errorf("one() of several")
		},
	}),
	"filebase64sha256": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal("<sha256 of " + filepath.Base(args[0].AsString()) + ">"), nil
		},
	}),
}
