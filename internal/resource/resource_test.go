package resource_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kinetel/internal/config"
	"kinetel/internal/resource"
)

func TestResource(t *testing.T) {
	const all = `"cloud.provider":"aws","cloud.region":"eu-west-1","cloud.account.id":"123456789012",` +
		`"faas.name":"orders","faas.version":"$LATEST","faas.instance":"0123456789abcdef",`
	for _, tt := range []struct {
		name   string
		change func(*resource.Identity)
		want   string
	}{
		{"who it is", func(*resource.Identity) {}, `{` + all + `"service.name":"orders"}`},
		{"tags follow in their order", func(id *resource.Identity) {
			id.Attributes = []config.Attribute{{Name: "team", Value: "payments"}, {Name: "env", Value: "prod"}}
		}, `{` + all + `"service.name":"orders","team":"payments","env":"prod"}`},
		{"tags cannot claim to be somebody else", func(id *resource.Identity) {
			id.Attributes = []config.Attribute{
				{Name: "faas.instance", Value: "evil"},
				{Name: "cloud.provider", Value: "evil"},
				{Name: "cloud.region", Value: "evil"},
				{Name: "cloud.account.id", Value: "evil"},
				{Name: "env", Value: "prod"},
				{Name: "faas.name", Value: "evil"},
				{Name: "faas.version", Value: "evil"},
			}
		}, `{` + all + `"service.name":"orders","env":"prod"}`},
		{"not even where Lambda does not tell", func(id *resource.Identity) {
			id.AccountID = ""
			id.Attributes = []config.Attribute{{Name: "cloud.account.id", Value: "evil"}}
		}, `{"cloud.provider":"aws","cloud.region":"eu-west-1","faas.name":"orders","faas.version":"$LATEST","faas.instance":"0123456789abcdef","service.name":"orders"}`},
		{"a tag names the service, in its place", func(id *resource.Identity) {
			id.Attributes = []config.Attribute{{Name: "env", Value: "prod"}, {Name: "service.name", Value: "checkout"}}
		}, `{` + all + `"service.name":"checkout","env":"prod"}`},
		{"what is empty is left out", func(id *resource.Identity) {
			*id = resource.Identity{EnvironmentID: "e"}
		}, `{"cloud.provider":"aws","faas.instance":"e"}`},
		{"names and values are quoted", func(id *resource.Identity) {
			id.Attributes = []config.Attribute{{Name: `a"b`, Value: "c\\d\ne"}}
		}, `{` + all + `"service.name":"orders","a\"b":"c\\d\ne"}`},
		{"what is not UTF-8 is replaced", func(id *resource.Identity) {
			id.Attributes = []config.Attribute{{Name: "st\xe4dt", Value: "K\xf6ln"}}
		}, `{` + all + `"service.name":"orders","st` + "\uFFFDdt\":\"K\uFFFDln\"}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := resource.Identity{
				Region: "eu-west-1", AccountID: "123456789012", FunctionName: "orders", FunctionVersion: "$LATEST",
				EnvironmentID: "0123456789abcdef",
			}
			tt.change(&id)
			if diff := cmp.Diff(tt.want, string(id.JSON())); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
		})
	}
}
