package kinesis

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	// maxText bounds a text of somebody else's in the log, and maxScan how much of
	// it is looked at.
	maxText = 500
	maxScan = 4096
	// secretRun is how many characters of a secret in a row are taken for it. A
	// text may repeat a part of one, or one that is escaped here and there.
	secretRun = 8
)

const redacted = "[redacted]"

// clean makes a text that a server, or something in between, may have written fit
// for the log. AWS answers a wrong signature with the request's headers, the session
// token among them, and a proxy's page may have them too: so it is one line, with
// sentence only the first sentence of it, and no word that has a part of a secret.
func clean(text string, sentence bool, secrets []string) string {
	cut := len(text) > maxScan
	text = strings.ToValidUTF8(text[:min(len(text), maxScan)], "\uFFFD")
	if end := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == '\u0085' || r == '\u2028' || r == '\u2029' }); end >= 0 {
		text, cut = text[:end], false
	}
	for _, escaped := range []string{`\n`, `\r`, `\u000a`, `\u000A`, `\u000d`, `\u000D`} { // in a quoted line
		text, _, _ = strings.Cut(text, escaped)
	}
	if sentence {
		if first, _, more := strings.Cut(text, ". "); more {
			text, cut = first+".", false
		}
	}
	text = redact(text, secrets)
	if len(text) > maxText {
		end := maxText
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text, cut = text[:end], true
	}
	if cut {
		text += "…"
	}
	return strings.TrimSpace(text)
}

// redact replaces the words of a line that have a part of a secret.
func redact(line string, secrets []string) string {
	folded := fold(line)
	hit := make([]bool, len(line))
	found := false
	for _, secret := range secrets {
		secret = fold(secret)
		for i := 0; i+secretRun <= len(folded) && len(secret) >= secretRun; i++ {
			if strings.Contains(secret, folded[i:i+secretRun]) {
				hit[i], found = true, true
			}
		}
	}
	if !found {
		return line
	}
	var b strings.Builder
	for from := 0; from < len(line); {
		to := from + strings.IndexAny(line[from:]+" ", " \t")
		secret := false
		for i := from; i < to; i++ {
			secret = secret || hit[i]
		}
		if secret {
			b.WriteString(redacted)
		} else {
			b.WriteString(line[from:to])
		}
		if to < len(line) {
			b.WriteByte(line[to])
		}
		from = to + 1
	}
	return b.String()
}

// fold returns s with the capitals of ASCII as small letters, byte for byte: what
// is in between may change a header's case.
func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// proxySecrets are those of a proxy's URL.
func proxySecrets(proxy *url.URL) []string {
	if proxy == nil || proxy.User == nil {
		return nil
	}
	password, _ := proxy.User.Password()
	return []string{password, base64.StdEncoding.EncodeToString([]byte(proxy.User.Username() + ":" + password))}
}

// cleaned is an error whose text may be logged; errors.Is and As see what is
// beneath.
type cleaned struct {
	text string
	err  error
}

func (c *cleaned) Error() string { return c.text }
func (c *cleaned) Unwrap() error { return c.err }

// clean makes the error's texts fit for the log.
func (e *Error) clean(secrets []string) {
	e.Message = clean(e.Message, e.Class == Credentials, secrets)
	if e.Err == nil {
		return
	}
	if text := clean(e.Err.Error(), false, secrets); text != e.Err.Error() {
		e.Err = &cleaned{text, e.Err}
	}
}
