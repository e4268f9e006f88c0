package decode

import (
	"strings"
	"testing"
)

func TestRequestID(t *testing.T) {
	for _, tt := range []struct {
		name, record, want string
	}{
		{"a platform event's request", `{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","version":"$LATEST"}`, "8476a536-e9f4-11e8-9739-2dfe598c3fcd"},
		{"escapes are read", `{"requestId":"a\u0062c"}`, "abc"},
		{"no request", `{"version":"$LATEST"}`, ""},
		{"no record", ``, ""},
		{"a record that is a string", `"requestId"`, ""},
		{"a record that is null", `null`, ""},
		{"a request that is no string", `{"requestId":17}`, ""},
		{"a record that is cut", `{"requestId":"abc`, ""},
		{"the longest request that can be a partition key", `{"requestId":"` + strings.Repeat("x", 128) + `"}`, strings.Repeat("x", 128)},
		{"a longer one is none", `{"requestId":"` + strings.Repeat("x", 129) + `"}`, ""},
		{"one that needs an escape in JSON", `{"requestId":"a\"b"}`, ""},
		{"broken UTF-8 cannot make it longer than that", `{"requestId":"` + strings.Repeat("\xff", 100) + `"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := requestID([]byte(tt.record)); got != tt.want {
				t.Errorf("requestID(%s) is %q, want %q", tt.record, got, tt.want)
			}
		})
	}
}
