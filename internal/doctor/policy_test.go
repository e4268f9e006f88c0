package doctor

import (
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/orders-role"
	for _, c := range []struct {
		name, statements string
		want             decision
		err              string
	}{
		{"the role", `[{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"kms:GenerateDataKey"}]`, allowed, ""},
		{"the role among others", `[{"Effect":"Allow","Principal":{"AWS":["999999999999","` + role + `"]},"Action":["kms:Decrypt","kms:GenerateDataKey"]}]`, allowed, ""},
		{"the account", `[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"kms:*"}]`, allowed, ""},
		{"the account's root", `[{"Effect":"Allow","Principal":{"AWS":"arn:aws-cn:iam::123456789012:root"},"Action":"*"}]`, allowed, ""},
		{"everybody", `[{"Effect":"Allow","Principal":"*","Action":"KMS:generate*"}]`, allowed, ""},
		{"everybody in AWS", `[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:GenerateDataKe?"}]`, allowed, ""},
		{"one statement without a list", `{"Effect":"Allow","Principal":"*","Action":"kms:*"}`, allowed, ""},
		{"another account", `[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":"kms:*"}]`, notMentioned, ""},
		{"another action", `[{"Effect":"Allow","Principal":"*","Action":"kms:GenerateDataKeyPair"}]`, notMentioned, ""},
		{"a service", `[{"Effect":"Allow","Principal":{"Service":"kinesis.amazonaws.com"},"Action":"kms:*"}]`, notMentioned, ""},
		{"no statement", `[]`, notMentioned, ""},
		{"a denial after an allowance", `[{"Effect":"Allow","Principal":"*","Action":"kms:*"},{"Effect":"Deny","Principal":"*","Action":"kms:*"}]`, denied, ""},
		{"a denial of something else", `[{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt"},{"Effect":"Allow","Principal":"*","Action":"kms:*"}]`, allowed, ""},
		{"exceptions", `[{"Effect":"Deny","NotPrincipal":{"AWS":"1"},"Action":"kms:*"}]`, notMentioned, "NotPrincipal or NotAction"},
		{"numbers", `7`, notMentioned, "not a policy"},
		{"broken text", `[`, notMentioned, "not a policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decide(`{"Version":"2012-10-17","Statement":`+c.statements+`}`, role, "kms:GenerateDataKey")
			if got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("decision %d, error %v; want %d, %q", got, err, c.want, c.err)
			}
		})
	}
}
