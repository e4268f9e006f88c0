package redact_test

import (
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/redact"
)

// What loggers and programs print. K is what becomes [redacted:key].
func TestValuesOfKeysInText(t *testing.T) {
	r := redact.New(redact.Options{Keys: []string{"password", "Authorization", "cookie", "x-api-key", "pass word", "schlüssel"}})
	for _, tt := range []struct{ name, text, want string }{
		{"JSON", `got {"password":"x\"y","b":1}`, `got {"password":"K","b":1}`},
		{"JSON with white space", "{\n  \"password\" : \n \"x\",\n  \"b\": 1 }", "{\n  \"password\" : \n \"K\",\n  \"b\": 1 }"},
		{"JSON with a number", `{"password":12,"b":1}`, `{"password":"K","b":1}`},
		{"JSON with an object", `{"password":{"a":["}"]},"b":1}`, `{"password":"K","b":1}`},
		{"JSON that is cut in a string", `{"password":"x y`, `{"password":"K`},
		{"JSON that is cut in an object", `{"password":{"a":[1`, `{"password":"K"`},
		{"an escaped name", `{"pass\u0077ord":"x","p\u0061sswor\u0064":"y"}`, `{"pass\u0077ord":"K","p\u0061sswor\u0064":"K"}`},
		{"escaped JSON", `"{\"password\":\"x y\",\"b\":\"z\"}"`, `"{\"password\":\"K\",\"b\":\"z\"}"`},
		{"util.inspect", `{ password: 'it\'s', user: 'y' }`, `{ password: 'K', user: 'y' }`},
		{"util.inspect of an object", `{ password: { a: [ 1 ] }, user: 'y' }`, `{ password: K, user: 'y' }`},
		{"util.inspect with a quoted name", `{ 'x-api-key': 'x', host: 'h' }`, `{ 'x-api-key': 'K', host: 'h' }`},
		{"Python", `{'password': 'x', 'b': 1}`, `{'password': 'K', 'b': 1}`},
		{"Ruby", `{:password=>"x", "password" => 'y'}`, `{:password=>"K", "password" => 'K'}`},
		{"Java", `User{password=x, name=y}`, `User{password=K, name=y}`},
		{"Java, at the end", `User(name=y, password=x)`, `User(name=y, password=K)`},
		{"Go", `map[password:x user:y] {Password:x User:y}`, `map[password:K user:y] {Password:K User:y}`},
		{"logfmt", `a=b password=x c=d password="x y" e=f`, `a=b password=K c=d password="K" e=f`},
		{"a query", `GET /?a=b&password=x%20y&c=d HTTP/1.1`, `GET /?a=b&password=K&c=d HTTP/1.1`},
		{"an option", `run --password=x --user=y -password=z`, `run --password=K --user=y -password=K`},
		{"an environment", "PASSWORD=x\nB=c", "PASSWORD=K\nB=c"},
		{"an assignment", `password = x`, `password = K`},
		{"a header", "Host: a\r\nauthorization: Digest username=\"x\", realm=\"y\"\r\nAccept: */*", "Host: a\r\nauthorization: K\r\nAccept: */*"},
		{"a scheme behind an equals sign", `authorization=Bearer x y`, `authorization=K`},
		{"a cookie", "Cookie: a=b; c=d\nHost: a", "Cookie: K\nHost: a"},
		{"a path to a member", `db.password=x`, `db.password=K`},
		{"a value with punctuation", `password=a,b;c)d e`, `password=K e`},
		{"a name in another language", `schlüssel=x SCHLÜSSEL=y`, `schlüssel=K SCHLÜSSEL=K`},
		{"a name with a blank", `pass word=x`, `pass word=K`},
		{"a value that was redacted", `password=[redacted:key] password: '[redacted:key]'`, `password=K password: 'K'`},

		{"bytes in Python", `{'password': b'x y', 'b': u'z'}`, `{'password': K, 'b': u'z'}`},
		{"a tuple in Python", `{'password': ('x y',), 'b': Decimal('1')}`, `{'password': K, 'b': Decimal('1')}`},
		{"a constructor", `{'password': Decimal('1'), 'b': 2}`, `{'password': K, 'b': 2}`},
		{"Rust", `Config { password: Some("$x y"), user: "z" }`, `Config { password: K, user: "z" }`},
		{"Rust, cut", `Config { password: Some("$x y`, `Config { password: K`},
		{"a number in brackets", `{"password": Some("x"), "b":1}`, `{"password": "K", "b":1}`},
		{"a member in brackets", `POST user[password]=x&user[name]=y user['password'] = 'x y'`, `POST user[password]=K&user[name]=y user['password'] = 'K'`},
		{"two quotes for one", `password='it''s x', user='y'`, `password='K', user='y'`},
		{"an empty value in quotes", `password='' user='' x`, `password='' user='' x`},
		{".NET", `Password=\u0027x y\u0027;User=z`, `Password=\u0027K\u0027;User=z`},
		{".NET, with double quotes", `'password': \u0022x y\u0022, 'b': 1`, `'password': \u0022K\u0022, 'b': 1`},
		{"a quote that belongs to the text", `"GET /?password=x" 200 "Mozilla"`, `"GET /?password=K" 200 "Mozilla"`},

		{"a longer name", `passwordHint=x mypassword=x my_password=x x-password: x password2=x`, `passwordHint=x mypassword=x my_password=x x-password: x password2=x`},
		{"a longer name in JSON", `{"passwordHint":"x","my password":"y"}`, `{"passwordHint":"x","my password":"y"}`},
		{"a sentence", `the password is wrong`, `the password is wrong`},
		{"nothing behind it", `password=`, `password=`},
		{"an empty value", `{"password":"","b":password="" }`, `{"password":"","b":password="" }`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.ReplaceAll(tt.want, "K", "[redacted:key]")
			if got := string(r.Text([]byte(tt.text))); got != want {
				t.Errorf("%s\nbecomes\n%s\nwant\n%s", tt.text, got, want)
			}
		})
	}
}
