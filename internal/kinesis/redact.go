package kinesis

import (
	"encoding/base64"
	"net/url"
	"strings"
)

const (
	// maxText bounds a text from a server or proxy in the log.
	maxText = 500
	// A word that repeats secretRun characters of a secret in a row, or all of a
	// shorter secret, is redacted: a text may repeat only a part of a secret, or
	// escape some of its characters. Secrets shorter than leastSecret are not
	// redacted.
	secretRun   = 8
	leastSecret = 4
)

// redact makes a text from a server or proxy safe to log. AWS answers a wrong
// signature with the request's headers, which include the session token, and a
// proxy's page may have them too. So redact keeps one line, or if sentence is set
// only its first sentence, and redacts every word that has a part of a secret.
func redact(text string, sentence bool, secrets []string) string {
	short := len(text) <= maxText
	text = text[:min(len(text), maxText)]
	for _, end := range []string{"\n", "\r", `\n`, `\r`} { // the last two occur in a quoted text
		text, _, _ = strings.Cut(text, end)
	}
	if first, _, more := strings.Cut(text, ". "); more && sentence {
		text, short = first+".", true
	}
	fields := strings.Fields(strings.ToValidUTF8(text, ""))
	for i, field := range fields {
		if hasSecret(strings.ToLower(field), secrets) {
			fields[i] = "[redacted]"
		}
	}
	text = strings.Join(fields, " ")
	if !short {
		text += "…"
	}
	return text
}

// hasSecret reports whether a lower-case word has a part of a secret.
func hasSecret(word string, secrets []string) bool {
	for _, secret := range secrets {
		secret = strings.ToLower(secret) // a proxy may change the case
		run := min(secretRun, len(secret))
		for i := range len(word) - run + 1 {
			if run >= leastSecret && strings.Contains(secret, word[i:i+run]) {
				return true
			}
		}
	}
	return false
}

// proxySecrets returns the secrets of a proxy's URL.
func proxySecrets(proxy *url.URL) []string {
	if proxy == nil || proxy.User == nil {
		return nil
	}
	password, _ := proxy.User.Password()
	return []string{password, base64.StdEncoding.EncodeToString([]byte(proxy.User.Username() + ":" + password))}
}

// redacted is an error whose text may be logged; errors.Is and errors.As see the
// wrapped error.
type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }

// redact makes the error's texts safe to log.
func (e *Error) redact(secrets []string) {
	e.Message = redact(e.Message, e.Class == Credentials, secrets)
	if e.Err == nil {
		return
	}
	if text := redact(e.Err.Error(), false, secrets); text != e.Err.Error() {
		e.Err = &redacted{text, e.Err}
	}
}
