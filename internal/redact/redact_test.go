package redact_test

import (
	"testing"

	"github.com/kinetel/kinetel/internal/redact"
)

func TestRecord(t *testing.T) {
	r := redact.New(redact.Options{Names: redact.Names(), Keys: []string{"password", "Authorization", "api-key"}})
	for _, tt := range []struct{ value, want string }{
		{`"mail jane@example.com"`, `"mail [redacted:email]"`},
		{`"mail \"jane\u0040example.com\"\n"`, `"mail \"[redacted:email]\"\n"`},
		{`"a\tjane@example.com\tb"`, `"a\t[redacted:email]\tb"`},
		{`"\u006a\u0061ne@example.com"`, `"[redacted:email]"`},
		{`"{\"a\":\"\\tjane@example.com\"}"`, `"{\"a\":\"\\t[redacted:email]\"}"`},
		{`"{\"a\":\"jane\\u0040example.com\"}"`, `"{\"a\":\"[redacted:email]\"}"`},
		{`{"jane@example.com":1,"joe@example.com":{"ann@example.com":2}}`, `{"[redacted:email]":1,"[redacted:email-2]":{"[redacted:email-3]":2}}`},
		{`{"card":4111111111111111,"n":[378282246310005]}`, `{"card":"[redacted:credit-card]","n":["[redacted:credit-card]"]}`},
		{`{"password":{"a":[1]},"b":1,"PASSWORD" : null,"passwordHint":"x"}`, `{"password":"[redacted:key]","b":1,"PASSWORD" : "[redacted:key]","passwordHint":"x"}`},
		{`{"pass\u0077ord":12}`, `{"pass\u0077ord":"[redacted:key]"}`},
		{`"{\"password\":12,\"b\":{\"password\":\"a\\\"b\"}}"`, `"{\"password\":\"[redacted:key]\",\"b\":{\"password\":\"[redacted:key]\"}}"`},
		{`"{\"card\":4111111111111111,\"b\":\"{\\\"card\\\":4111111111111111}\"}"`, `"{\"card\":\"[redacted:credit-card]\",\"b\":\"{\\\"card\\\":\\\"[redacted:credit-card]\\\"}\"}"`},
		{`"{\"card\": 4111111111111111}\n{\"card\": [4111111111111111]} "`, `"{\"card\": \"[redacted:credit-card]\"}\n{\"card\": [\"[redacted:credit-card]\"]} "`},
		{`"[4111111111111111, 1]"`, `"[\"[redacted:credit-card]\", 1]"`},
		{`"{\"p\":\"password: \",\"q\":\"b\",\"r\":\"x password={\",\"s\":1}"`, `"{\"p\":\"password: \",\"q\":\"b\",\"r\":\"x password=[redacted:key]\",\"s\":1}"`},
		{`"{\"jane@example.com\":{\"joe@example.com\":1}}"`, `"{\"[redacted:email]\":{\"[redacted:email-2]\":1}}"`},
		{`"\ud800jane@example.com\udc00 b\ud83d\ude00 joe@example.com\n"`, `"\ud800[redacted:email]\udc00 b\ud83d\ude00 [redacted:email]\n"`},
		{"\"\xffjane@example.com \xc3 10.0.0.1\xff\\n\"", "\"\xff[redacted:email] \xc3 [redacted:ipv4]\xff\\n\""},
		{`{"a":"","password":"","b":" "}`, `{"a":"","password":"","b":" "}`},
		{`{"a":[{"password":"x"},["jane@example.com"]]}`, `{"a":[{"password":"[redacted:key]"},["[redacted:email]"]]}`},
		{`{"password":"x`, `{"password":"[redacted:key]"`},
		{`{"password":"x\qsecret","b":1}`, `{"password":"[redacted:key]"`},
		{"{\"password\"\n\t : \n\"x\"}", "{\"password\"\n\t : \n\"[redacted:key]\"}"},
		{`"token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln.. Next"`, `"token [redacted:jwt].. Next"`},
		{`"password=x y=z"`, `"password=[redacted:key] y=z"`},
		{`"{ password: 'x', user: 'y' }"`, `"{ password: '[redacted:key]', user: 'y' }"`},
		{`"Authorization: Bearer x, y\nHost: a"`, `"Authorization: [redacted:key]\nHost: a"`},
		{`"POST /?a=b&password=x&c=d"`, `"POST /?a=b&password=[redacted:key]&c=d"`},
		{`"{\"password\":\"x"`, `"{\"password\":\"[redacted:key]"`},
		{`"call +1 415 555 2671 or (415) 555-2671"`, `"call [redacted:phone] or [redacted:phone]"`},
		{`"at 10.0.0.1:80 and [2001:db8::1]:80, ::1"`, `"at [redacted:ipv4]:80 and [[redacted:ipv6]]:80, [redacted:ipv6]"`},
		{`"DE89 3704 0044 0532 0130 00, GB29NWBK60161331926819"`, `"[redacted:iban], [redacted:iban]"`},
		{`"postgres://u:s3cret@db.example.com/x"`, `"postgres://u:[redacted:password-in-url]@db.example.com/x"`},
		{`"Bearer abcdef1234"`, `"Bearer [redacted:bearer]"`},
		{`"Basic dXNlcjpwYXNz"`, `"Basic [redacted:bearer]"`},
		{"\"Bearer\\tabcdefgh1 or Bearer \\\"abcdefgh1\\\"\"", "\"Bearer\\t[redacted:bearer] or Bearer \\\"[redacted:bearer]\\\"\""},
		{`"AKIAIOSFODNN7EXAMPLE"`, `"[redacted:aws-key]"`},
		{`{"SecretAccessKey":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}`, `{"SecretAccessKey":"[redacted:aws-key]"}`},
		{`"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"`, `"aws_secret_access_key = [redacted:aws-key]"`},
		{`"t eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"`, `"t [redacted:jwt]"`},
	} {
		if got := string(r.Record([]byte(tt.value))); got != tt.want {
			t.Errorf("%s\n is %s\nwant %s", tt.value, got, tt.want)
		}
	}
}

// Without the key, the word in front of the token stays.
func TestTheNameOfAMemberIsThatOfAHeader(t *testing.T) {
	r := redact.New(redact.Options{Names: []string{"bearer"}})
	for _, tt := range []struct{ value, want string }{
		{`{"authorization":"Bearer abcdef"}`, `{"authorization":"Bearer [redacted:bearer]"}`},
		{`{"Proxy-Authorization" : ["Basic abcdef"]}`, `{"Proxy-Authorization" : ["Basic [redacted:bearer]"]}`},
		{`{"Authorization":"Bearer\u0020abcdef","b":"Bearer abcdef"}`, `{"Authorization":"Bearer\u0020[redacted:bearer]","b":"Bearer abcdef"}`},
		{`"{\"authorization\":\"Bearer abcdef\",\"b\":\"Bearer token\"}\n"`, `"{\"authorization\":\"Bearer [redacted:bearer]\",\"b\":\"Bearer token\"}\n"`},
		{`{"authorization":{"a":"Bearer token"}}`, `{"authorization":{"a":"Bearer token"}}`},
		{`{"authorization":"","b":["Bearer token"]}`, `{"authorization":"","b":["Bearer token"]}`},
	} {
		if got := string(r.Record([]byte(tt.value))); got != tt.want {
			t.Errorf("%s\n is %s\nwant %s", tt.value, got, tt.want)
		}
	}
}
