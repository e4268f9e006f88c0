package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// decision is what a resource's policy says about a principal.
type decision int

const (
	notMentioned decision = iota
	allowed
	denied
)

// texts is a JSON string or a list of them, as in policies.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// principals are those of a statement: "*", or {"AWS": …}.
type principals struct{ AWS texts }

func (p *principals) UnmarshalJSON(b []byte) error {
	if string(b) == `"*"` {
		p.AWS = texts{"*"}
		return nil
	}
	type plain principals
	return json.Unmarshal(b, (*plain)(p))
}

type statement struct {
	Effect    string
	Principal principals
	Action    texts
}

// decide returns what the policy of a resource says about a principal's action. It does
// not evaluate conditions. A policy that names the
// principal's account leaves the decision to IAM there, so it counts as allowed.
func decide(document, principal, action string) (decision, error) {
	var policy struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(document), &policy); err != nil {
		return notMentioned, fmt.Errorf("it is not a policy: %w", err)
	}
	list := policy.Statement
	if strings.HasPrefix(string(list), "{") { // the list may be left out
		list = slices.Concat([]byte("["), list, []byte("]"))
	}
	if strings.Contains(document, `"NotPrincipal"`) || strings.Contains(document, `"NotAction"`) {
		return notMentioned, errors.New("it has NotPrincipal or NotAction, which this version does not evaluate")
	}
	var statements []statement
	if err := json.Unmarshal(list, &statements); err != nil {
		return notMentioned, fmt.Errorf("it is not a policy: %w", err)
	}
	result := notMentioned
	for _, s := range statements {
		switch {
		case !s.Principal.include(principal) || !slices.ContainsFunc(s.Action, func(pattern string) bool { return matches(pattern, action) }):
		case s.Effect == "Deny":
			return denied, nil
		case s.Effect == "Allow":
			result = allowed
		}
	}
	return result, nil
}

func (p principals) include(principal string) bool {
	a, _ := arn.Parse(principal) // without an ARN no account matches
	return slices.ContainsFunc(p.AWS, func(one string) bool {
		return one == "*" || one == principal ||
			a.AccountID != "" && (one == a.AccountID || strings.HasPrefix(one, "arn:") && strings.HasSuffix(one, "::"+a.AccountID+":root"))
	})
}

// matches reports whether a pattern with * and ? matches an action's name.
func matches(pattern, action string) bool {
	ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(action)) // names have no / for * to stop at
	return ok && err == nil
}
