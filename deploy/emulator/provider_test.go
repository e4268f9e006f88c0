package emulator

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/kinetel/kinetel/deploy/internal/moto"
)

// providerBlock is a block of the provider's schema.
type providerBlock struct {
	Attributes map[string]struct {
		Type     json.RawMessage `json:"type"`
		Required bool            `json:"required"`
		Computed bool            `json:"computed"`
	} `json:"attributes"`
	BlockTypes map[string]struct {
		Block    providerBlock `json:"block"`
		MinItems int           `json:"min_items"`
		MaxItems int           `json:"max_items"`
	} `json:"block_types"`
}

// providerType is a resource or a data source.
type providerType struct {
	Block providerBlock `json:"block"`
	spec  hcldec.ObjectSpec
}

// provider has the types by "resource" and "data", and by name.
type provider map[string]map[string]*providerType

func readProvider() (provider, error) {
	text, err := os.ReadFile("testdata/awsprovider.json")
	if err != nil {
		return nil, err
	}
	var file struct {
		Resources json.RawMessage `json:"resource_schemas"`
		Data      json.RawMessage `json:"data_source_schemas"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	p := provider{}
	if err := json.Unmarshal(fmt.Appendf(nil, `{"resource": %s, "data": %s}`, file.Resources, file.Data), &p); err != nil {
		return nil, err
	}
	for _, types := range p {
		for _, t := range types {
			t.spec = t.Block.spec()
		}
	}
	return p, nil
}

// spec describes a block as hcldec reads it.
func (b providerBlock) spec() hcldec.ObjectSpec {
	spec := hcldec.ObjectSpec{}
	for name, a := range b.Attributes {
		of, err := ctyjson.UnmarshalType(a.Type)
		if err != nil {
			panic(err)
		}
		if !a.Computed {
			spec[name] = &hcldec.AttrSpec{Name: name, Type: of, Required: a.Required}
		}
	}
	for name, nested := range b.BlockTypes {
		if nested.MaxItems == 1 {
			spec[name] = &hcldec.BlockSpec{TypeName: name, Nested: nested.Block.spec(), Required: nested.MinItems == 1}
		} else {
			spec[name] = &hcldec.BlockListSpec{TypeName: name, Nested: nested.Block.spec(), MinItems: nested.MinItems}
		}
	}
	return spec
}

// reference is a resource as expressions of others see it: each attribute is its own
// address, as in evaluate_test.go's placeholder.
func (b providerBlock) reference(address string) cty.Value {
	known := map[string]string{ // of data sources
		"aws_caller_identity.current.account_id": account,
		"aws_partition.current.partition":        "aws",
		"aws_partition.current.dns_suffix":       "amazonaws.com",
		"aws_region.current.region":              moto.Region,
	}
	all := map[string]cty.Value{}
	for name := range b.Attributes {
		text, ok := known[address+"."+name]
		if !ok {
			text = "<" + address + "." + name + ">"
		}
		all[name] = cty.StringVal(text)
	}
	return cty.ObjectVal(all)
}
