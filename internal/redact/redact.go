// Package redact replaces secrets and personal data in telemetry. A match of a pattern
// becomes [redacted:NAME], and JSON stays valid JSON.
//
// It finds values behind the escapes of JSON, also in JSON inside a text inside JSON. A
// text is searched as it is, then with its escapes decoded, and so on (maxLevels). What
// is found at any level is replaced in the original text; everything else keeps its
// bytes.
package redact

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/pattern"
)

// A kind is what a value was replaced for: a built-in pattern, or one of the user's own.
type kind uint8

// The built-in patterns, in the order of the documentation, and then the user's own.
const (
	email kind = iota
	creditCard
	awsKey
	jwt
	ipv4
	ipv6
	phone
	iban
	bearer
	passwordInURL
	byKey
	byPattern
	kinds

	patterns = int(byKey)
)

// names returns the kinds' names in replacements.
func names() [kinds]string {
	return [...]string{"email", "credit-card", "aws-key", "jwt", "ipv4", "ipv6", "phone", "iban", "bearer", "password-in-url", "key", "pattern"}
}

// Names returns the names of the built-in patterns, in the order of the documentation.
func Names() []string {
	all := names()
	return all[:patterns]
}

// Options say what is redacted.
type Options struct {
	Names   []string       // built-in patterns; a name that does not exist is ignored
	Pattern *regexp.Regexp // the user's own; nil: none. It is not applied to true, false and null
	Keys    []string       // names of JSON members, in any case
}

// Redactor redacts values. Methods of a nil *Redactor return their argument. The result
// of a method is the argument itself if there is nothing to redact in it. Otherwise it
// is valid until the next call. One goroutine at a time may use a Redactor; Counts and
// Writer may be called at any time.
type Redactor struct {
	*rules

	spans []span   // what was found
	names int      // how many members' names were redacted in this call
	out   []byte   // the last result
	name  []byte   // a member's name without its escapes
	plain [][]byte // the texts of each level, without escapes

	keepNames bool // of members that are in no string

	outer  int    // the first of values that is in the text that is being searched
	values []span // of keys, which were found in the text that encodes it

	// Of match:
	b          []byte // the text that it searches
	until      int    // where the last value of a key ends
	value      int    // the first of values that may end later
	jwt        int    // where the last text ends that was read as a part of a JWT
	atSign     int    // of the last URL with a password: not of an address
	authorized bool   // b is the value of a member with the name Authorization
	noURL      int    // before it begins no URL with a password that has not been found
}

// rules are what Redactors for the same options share. Only counts change.
type rules struct {
	class   [256]uint16
	on      uint16 // a bit for each kind
	keys    []key
	longest int // of the keys' names
	pattern pattern.Matcher
	counts  [kinds]atomic.Int64
}

// maxLevels is how often the escapes of a text are decoded. Each level of JSON inside
// a text is one; in what is deeper, only values without an escape are found.
const maxLevels = 4

// maxBuffer is how large a buffer may be that is kept for the next call.
const maxBuffer = 1 << 20

// New returns a Redactor, or nil if there is nothing to redact.
func New(o Options) *Redactor {
	r := &rules{pattern: pattern.New(o.Pattern)}
	if o.Pattern != nil {
		r.on = 1 << byPattern
	}
	for _, name := range o.Names {
		for k := range patterns {
			if names()[k] == name {
				r.on |= 1 << k
			}
		}
	}
	for _, name := range o.Keys {
		r.addKey(name, byKey)
	}
	if r.on&(1<<awsKey) != 0 {
		r.addKeys("aws_secret_access_key aws_secret_key secret_access_key secretAccessKey ", secret)
		r.addKeys("aws_session_token session_token sessionToken security_token securityToken X-Amz-Security-Token ", token)
	}
	if r.on == 0 {
		return nil
	}
	r.classify()
	return r.redactor()
}

// redactor returns a Redactor with its own buffers.
func (r *rules) redactor() *Redactor {
	return &Redactor{rules: r, plain: make([][]byte, maxLevels)}
}

// Record redacts one JSON value: the record of a function's or an extension's line, or of
// an event of Kinetel's own.
func (r *Redactor) Record(value []byte) []byte {
	if r == nil {
		return value
	}
	r.begin()
	r.json(value, 0, len(value), 0)
	return r.replace(value)
}

// begin forgets what a call has found that ended with a panic.
func (r *Redactor) begin() {
	r.spans, r.values, r.names, r.outer, r.keepNames, r.authorized = r.spans[:0], r.values[:0], 0, 0, false, false
}

// Members redacts JSON members without braces, such as "a":1,"b":2.
func (r *Redactor) Members(members []byte) []byte { return r.Record(members) }

// Platform redacts the record of a platform event as Record does, except what Lambda
// alone writes and consumers depend on (see lambdas).
func (r *Redactor) Platform(value []byte) []byte {
	if r == nil {
		return value
	}
	r.begin()
	r.platform(value)
	return r.replace(value)
}

// Text redacts a text that is not JSON.
func (r *Redactor) Text(text []byte) []byte {
	if r == nil {
		return text
	}
	r.begin()
	r.text(text, 0)
	return r.replace(text)
}

// The beginning and the end of what Unparsed writes in place of a record.
const (
	unparsedStart = "[redacted:unparsed "
	unparsedEnd   = " bytes]"
)

// Unparsed redacts a text that could not be parsed as events. Lambda may have cut a
// value in it in two, so of an event nothing stays but what precedes its record.
func (r *Redactor) Unparsed(text []byte) []byte {
	if r == nil {
		return text
	}
	const name = `"record"`
	i := bytes.Index(text, []byte(name))
	if i < 0 {
		return r.Text(text)
	}
	i += len(name)
	i = jsontext.SkipSpace(text, i)
	if i < len(text) && text[i] == ':' {
		i++
	}
	if i == len(text) {
		return r.Text(text)
	}
	rest := text[i:]
	r.begin()
	r.text(text[:i], 0)
	if isUnparsed(rest) {
		return r.replace(text)
	}
	r.join(0)
	r.render(text[:i])
	r.writeString(unparsedStart)
	r.out = strconv.AppendInt(r.out, int64(len(rest)), 10)
	r.writeString(unparsedEnd)
	return r.finish(r.out)
}

// isUnparsed reports whether text is what Unparsed wrote in place of a record.
func isUnparsed(text []byte) bool {
	digits, begins := bytes.CutPrefix(text, []byte(unparsedStart))
	digits, ends := bytes.CutSuffix(digits, []byte(unparsedEnd))
	if !begins || !ends || len(digits) == 0 || len(digits) > 10 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Counts returns how many values were replaced, by name; "keys" and "pattern" for the
// user's own. A record that was withheld as unparsed is not counted.
func (r *Redactor) Counts() map[string]int64 {
	counts := map[string]int64{}
	if r == nil {
		return counts
	}
	for k := range r.counts {
		name := names()[k]
		if kind(k) == byKey {
			name = "keys"
		}
		if n := r.counts[k].Load(); n > 0 {
			counts[name] = n
		}
	}
	return counts
}

// Writer returns a writer for a log: it redacts each Write, which must be one JSON line,
// and passes it on to w. It is safe for concurrent use, and its counts are part of r's.
func (r *Redactor) Writer(w io.Writer) io.Writer {
	if r == nil {
		return w
	}
	return &writer{w: w, redactor: r.rules.redactor()}
}

type writer struct {
	w        io.Writer
	mu       sync.Mutex // guards the redactor, and its result while it is written
	redactor *Redactor
}

func (w *writer) Write(line []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err = w.w.Write(w.redactor.ownLine(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// ownLine redacts a line of Kinetel's own log, but not the member by which selflog.Own
// recognizes the line when Lambda delivers it.
func (r *Redactor) ownLine(line []byte) []byte {
	const logger = `"logger":"kinetel"`
	r.begin()
	end := 0
	if i := bytes.Index(line, []byte(logger)); i >= 0 {
		end = i + len(logger)
		r.json(line, 0, i, 0)
	}
	r.json(line, end, len(line), 0)
	return r.replace(line)
}
