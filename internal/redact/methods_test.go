package redact_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/internal/selflog"
)

func TestNilRedactsNothing(t *testing.T) {
	r := redact.New(redact.Options{Names: []string{"e-mail"}, Keys: []string{""}})
	if r != nil {
		t.Fatal("a Redactor without anything to redact is not nil")
	}
	text := []byte("jane@example.com")
	for _, do := range []func([]byte) []byte{r.Record, r.Platform, r.Members, r.Text, r.Unparsed} {
		if got := do(text); &got[0] != &text[0] {
			t.Errorf("%s", got)
		}
	}
	var b bytes.Buffer
	if r.Writer(&b) != &b || len(r.Counts()) > 0 {
		t.Error("a nil Redactor has a writer or counts")
	}
}

func TestEachPatternIsOnlyUsedIfItIsNamed(t *testing.T) {
	var all strings.Builder
	for _, s := range secrets[:11] {
		all.WriteString(s.value + " ; ")
	}
	for _, name := range redact.Names() {
		r := redact.New(redact.Options{Names: []string{name}})
		got := string(r.Text([]byte(all.String())))
		want := "[redacted:" + name + "]"
		if !strings.Contains(got, want) || strings.Contains(strings.ReplaceAll(got, want, ""), "[redacted:") {
			t.Errorf("with %s alone: %s", name, got)
		}
	}
}

func TestMembersAreRedacted(t *testing.T) {
	r := everything()
	if got := string(r.Members([]byte(`"a":"jane@example.com","password":1,"b":2`))); got != `"a":"[redacted:email]","password":"[redacted:key]","b":2` {
		t.Error(got)
	}
}

func TestPlatformKeepsWhatLambdaWrites(t *testing.T) {
	r := redact.New(redact.Options{Names: redact.Names(), Keys: []string{"requestId", "value"}, Pattern: regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]+|^success$|[0-9]+\.[0-9]+`)})
	before := `{"requestId":"6f0c0c5e-1111-4222-8333-444455556666","status":"success","metrics":{"durationMs":128.4},"tracing":{"value":"Root=1-68d0aaaa-0123456789abcdef01234567"},"tenantId":"jane@example.com","errorType":"to jane@example.com","x":{"requestId":"y"}}`
	want := `{"requestId":"6f0c0c5e-1111-4222-8333-444455556666","status":"success","metrics":{"durationMs":128.4},"tracing":{"value":"Root=1-68d0aaaa-0123456789abcdef01234567"},"tenantId":"[redacted:email]","errorType":"to [redacted:email]","x":{"requestId":"[redacted:key]"}}`
	if got := string(r.Platform([]byte(before))); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for _, tt := range []struct{ before, want string }{
		{`"jane@example.com"`, `"[redacted:email]"`},
		{`["jane@example.com"]`, `["[redacted:email]"]`},
		{`{"requestId":"x","a":"jane@example.com`, `{"requestId":"x","a":"[redacted:email]`},
	} {
		if got := string(r.Platform([]byte(tt.before))); got != tt.want {
			t.Errorf("%s becomes %s", tt.before, got)
		}
	}
}

func TestUnparsed(t *testing.T) {
	r := everything()
	for _, tt := range []struct{ text, want string }{
		{`{"time":"2026-11-27T10:00:00.000Z","type":"function","record":"jane@exam`, `{"time":"2026-11-27T10:00:00.000Z","type":"function","record":[redacted:unparsed 10 bytes]`},
		{`{"x":"jane@example.com","record" : {"a":1}}]`, `{"x":"[redacted:email]","record" :[redacted:unparsed 10 bytes]`},
		{`{"record":[redacted:unparsed 10 bytes]`, `{"record":[redacted:unparsed 10 bytes]`},
		{`{"record":[redacted:unparsed 10 x bytes]`, `{"record":[redacted:unparsed 30 bytes]`},
		{`{"record":[redacted:unparsed 10 bytes]a`, `{"record":[redacted:unparsed 29 bytes]`},
		{`{"record":`, `{"record":`},
		{`{"record"x`, `{"record"[redacted:unparsed 1 bytes]`},
		{`no event, but jane@example.com`, `no event, but [redacted:email]`},
		{`no event`, `no event`},
	} {
		got := string(r.Unparsed([]byte(tt.text)))
		if got != tt.want {
			t.Errorf("%s becomes %s, want %s", tt.text, got, tt.want)
		}
		if again := string(r.Unparsed([]byte(got))); again != got {
			t.Errorf("%s becomes %s", got, again)
		}
	}
}

func TestCounts(t *testing.T) {
	r := everything()
	r.Record([]byte(`{"a":"jane@example.com joe@example.com","card":4111111111111111,"password":"jane@example.com","b":"ACME-123456","jane@example.com":1}`))
	r.Text([]byte("nothing"))
	r.Writer(&bytes.Buffer{}).Write([]byte(`"::1"`))
	want := map[string]int64{"email": 3, "credit-card": 1, "keys": 1, "pattern": 1, "ipv6": 1}
	if got := r.Counts(); !maps.Equal(got, want) {
		t.Errorf("counts are %v, want %v", got, want)
	}
}

// broken is a writer that fails.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestWriterRedactsALog(t *testing.T) {
	r := everything()
	var b bytes.Buffer
	w := r.Writer(&b)
	log := slog.New(slog.NewJSONHandler(w, nil))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				log.Warn("cannot read jane@example.com", "password", 17, "url", "http://u:pw@h")
			}
		})
		all.Go(func() {
			for range 50 {
				_ = r.Counts()
				if n, err := w.Write([]byte(`"jane@example.com"`)); n != 18 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
		})
	}
	all.Wait()
	if got := b.String(); strings.Contains(got, "jane") || strings.Contains(got, "pw") || strings.Count(got, `"password":"[redacted:key]"`) != 200 || r.Counts()["email"] != 400 {
		t.Errorf("%s\n%v", got, r.Counts())
	}
	if n, err := r.Writer(broken{}).Write([]byte("{}")); n != 0 || err == nil {
		t.Errorf("a write that fails gives %d, %v", n, err)
	}
}

// Otherwise Kinetel would ship the lines of its own log as those of another extension.
func TestALogIsRecognizedAfterItIsRedacted(t *testing.T) {
	for _, o := range []redact.Options{
		{Keys: []string{"logger"}},
		{Pattern: regexp.MustCompile(`\b[a-z]{6,7}\b`)},
		{Pattern: regexp.MustCompile(`(?s).*`)},
		{Names: redact.Names(), Keys: []string{"error"}},
	} {
		var b bytes.Buffer
		log := selflog.New(redact.New(o).Writer(&b), logging.LevelWarn)
		log.Error("cannot connect", "error", "for jane@example.com")
		log.Close()
		if line := bytes.TrimSpace(b.Bytes()); !selflog.Own(line) || !json.Valid(line) {
			t.Errorf("%+v: the log has %s", o, line)
		}
	}
}

func TestRedactorsOfOtherPatternsWork(t *testing.T) {
	for _, tt := range []struct{ pattern, value, want string }{
		{`x*`, `"abc"`, `"abc"`},
		{`x*`, `"axxb"`, `"a[redacted:pattern]b"`},
		{`^order`, `"order order"`, `"[redacted:pattern] order"`},
		{`[0-9]{3}`, `{"a":1234,"b":-12}`, `{"a":"[redacted:pattern]","b":-12}`},
		{`[0-9]{2}`, `"caf\u00e9 \\u0040 12"`, `"caf\u00e9 [redacted:pattern] [redacted:pattern]"`},
		{`[0-9]{4}`, `"CORP\\u1234 caf\u00e9"`, `"CORP[redacted:pattern] caf\u00e9"`},
		{`[0-9]{2}`, `"\\u1234"`, `"[redacted:pattern]"`},
		{`é`, `"caf\u00e9s"`, `"caf[redacted:pattern]s"`},
		{`(?s).`, `{"é":"\"\ud83d\ude00\ud800"}`, `{"[redacted:pattern]":"[redacted:pattern][redacted:pattern][redacted:pattern]"}`},
		{`true|null`, `{"a":true,"b":[null]}`, `{"a":true,"b":[null]}`},
	} {
		r := redact.New(redact.Options{Pattern: regexp.MustCompile(tt.pattern)})
		got := string(r.Record([]byte(tt.value)))
		if got != tt.want {
			t.Errorf("%s of %s: %s, want %s", tt.pattern, tt.value, got, tt.want)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	r := redact.New(redact.Options{Names: redact.Names(), Keys: []string{"password", "authorization"}})
	values := []string{
		`{"email":"jane@example.com","password":{"a":1},"card":4111111111111111}`,
		`"2026\t{\"email\":\"jane@example.com\",\"password\":\"x\"}\n"`,
		`"password=x DE89370400440532013000 +14155552671"`,
		`{"p\u0061ssword":"x","jane@example.com":"postgres://u:pw@h"}`,
	}
	for _, line := range lines {
		values = append(values, line.value)
	}
	for _, value := range values {
		b := []byte(value)
		for name, do := range map[string]func([]byte) []byte{"Record": r.Record, "Platform": r.Platform, "Text": r.Text, "Unparsed": r.Unparsed} {
			do(b)
			if n := testing.AllocsPerRun(100, func() { do(b) }); n > 0 {
				t.Errorf("%s of %s: %v allocations", name, value, n)
			}
		}
	}
}

func TestLargeBuffersAreReleased(t *testing.T) {
	r := everything()
	large := []byte(`"` + strings.Repeat(`jane@example.com\t`, 200_000) + `"`)
	if after := r.Record(large); bytes.Contains(after, []byte("jane")) {
		t.Fatal("an address is left")
	}
	if n := r.Buffers(); n > 2<<20 {
		t.Errorf("buffers have %d bytes", n)
	}
	if got := string(r.Record([]byte(`"jane@example.com\t"`))); got != `"[redacted:email]\t"` {
		t.Error(got)
	}
}

// Four times the text must not take sixteen times as much CPU. The smallest of several
// measurements is compared.
func TestTheTimeIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(1, &usage); err != nil { // RUSAGE_THREAD
			t.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()) // only the sum is exact
	}
	r := redact.New(redact.Options{Names: redact.Names(), Keys: []string{"password", "a"}})
	for _, part := range []string{
		"@", "a@", "a@b.", "a@b.cc ", "%40", "a'", "ü", "1", "1 ", "4111 ", "4111-", "1.", "1.1.1.", "0123 ", "(030) ", "+1", "+1 ", "+1-", "eyJ", "eyJ.", "eyJ-", "eyJhbGciOiJIUzI1NiJ9.",
		":", "::", "1:", "ab::", "AKIA", "DE89", "DE89 ", "Bearer ", "Basic ", "Bearer a", "Bearer/", "Basic/", "Bearer\t", `Bearer "`, "a://", "a://b:", "a://b:c/", "a://b:@", "a://b:c@@", "a://b:c@d:", "=", "password=", "password:", `password:"`, `"password":{`, `"password":`, "password:'", "password: ", "-password", "password=b'", "password=(", "password=a(", "password]=", "password=''",
		`\`, `\\`, `\"`, `\u0040`, `\\u0040`, `\ud800`, `"a":`, `'a':`, `"`, `{"a":`, `[`, `a=[`, "sessionToken:", `{"sessionToken":`, `{"password":"x",`, "password  \n", `sessionToken:"`, "sessionToken:'a\"", "\x80", "\xff", "jane@example.com\\", "password: x\n", "[redacted:email]", "\\jane@example.com",
	} {
		took := func(size int) time.Duration {
			text := bytes.Repeat([]byte(part), size/len(part))
			best := time.Hour
			for range 3 {
				start := cpu()
				r.Record(text)
				r.Text(text)
				best = min(best, cpu()-start)
			}
			return best
		}
		short, long := took(64<<10), took(256<<10)
		if long > 10*short+20*time.Millisecond {
			t.Errorf("%q takes %v, and four times of it %v", part, short, long)
		}
	}
}

func ExampleRedactor() {
	r := redact.New(redact.Options{Names: []string{"email"}, Keys: []string{"password"}})
	fmt.Printf("%s\n", r.Record([]byte(`{"user":"jane@example.com","password":"x"}`)))
	// Output: {"user":"[redacted:email]","password":"[redacted:key]"}
}
