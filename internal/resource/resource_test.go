package resource_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/resource"
)

func TestEachLineHasTheResourceOfItsEnvironment(t *testing.T) {
	const all = `"cloud.provider":"aws","cloud.region":"eu-west-1","cloud.account.id":"123456789012",` +
		`"faas.name":"orders","faas.version":"$LATEST",`
	const id = `,"service.instance.id":"0123456789abcdef"`
	for _, tt := range []struct {
		name   string
		change func(*resource.Resource)
		want   string
	}{
		{"the function and its environment", func(*resource.Resource) {}, `{` + all + `"service.name":"orders"` + id + `}`},
		{"tags follow in their order", func(r *resource.Resource) {
			r.Config.Attributes = []config.Attribute{{Name: "team", Value: "payments"}, {Name: "env", Value: "prod"}}
		}, `{` + all + `"service.name":"orders"` + id + `,"team":"payments","env":"prod"}`},
		{"tags do not replace the attributes of Kinetel", func(r *resource.Resource) {
			r.Config.Attributes = []config.Attribute{
				{Name: "service.instance.id", Value: "evil"},
				{Name: "cloud.provider", Value: "evil"},
				{Name: "cloud.region", Value: "evil"},
				{Name: "cloud.account.id", Value: "evil"},
				{Name: "env", Value: "prod"},
				{Name: "faas.name", Value: "evil"},
				{Name: "faas.version", Value: "evil"},
				{Name: "faas.instance", Value: "evil"},
			}
		}, `{` + all + `"service.name":"orders"` + id + `,"env":"prod"}`},
		{"nor those that Lambda does not report", func(r *resource.Resource) {
			r.AccountID = ""
			r.Config.Attributes = []config.Attribute{{Name: "cloud.account.id", Value: "evil"}}
		}, `{"cloud.provider":"aws","cloud.region":"eu-west-1","faas.name":"orders","faas.version":"$LATEST","service.name":"orders","service.instance.id":"0123456789abcdef"}`},
		{"a tag names the service, in its place", func(r *resource.Resource) {
			r.Config.Attributes = []config.Attribute{{Name: "env", Value: "prod"}, {Name: "service.name", Value: "checkout"}}
		}, `{` + all + `"service.name":"checkout"` + id + `,"env":"prod"}`},
		{"the log stream, by platform.initStart", func(r *resource.Resource) {
			r.Started(&event.Platform{InstanceID: "2026/09/21/orders[$LATEST]0f1e2d3c"})
		}, `{` + all + `"faas.instance":"2026/09/21/orders[$LATEST]0f1e2d3c","service.name":"orders"` + id + `}`},
		{"no log stream with a name that CloudWatch Logs does not allow", func(r *resource.Resource) {
			r.Started(&event.Platform{InstanceID: strings.Repeat("x", 513)})
		}, `{` + all + `"service.name":"orders"` + id + `}`},
		{"empty values are left out", func(r *resource.Resource) {
			*r = resource.Resource{EnvironmentID: "e"}
		}, `{"cloud.provider":"aws","service.instance.id":"e"}`},
		{"names and values are quoted", func(r *resource.Resource) {
			r.Config.Attributes = []config.Attribute{{Name: `a"b`, Value: "c\\d\ne"}}
		}, `{` + all + `"service.name":"orders"` + id + `,"a\"b":"c\\d\ne"}`},
		{"bytes that are not UTF-8 are replaced", func(r *resource.Resource) {
			r.Config.Attributes = []config.Attribute{{Name: "st\xe4dt", Value: "K\xf6ln"}}
		}, `{` + all + `"service.name":"orders"` + id + `,"st` + "\uFFFDdt\":\"K\uFFFDln\"}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := resource.Resource{
				Config:    config.Config{Lambda: config.Lambda{Region: "eu-west-1"}},
				AccountID: "123456789012", FunctionName: "orders", FunctionVersion: "$LATEST",
				EnvironmentID: "0123456789abcdef",
			}
			tt.change(&r)
			if diff := cmp.Diff(tt.want, string(r.Details().Resource)); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
		})
	}
}
