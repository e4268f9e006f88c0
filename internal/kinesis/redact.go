package kinesis

import (
	"encoding/base64"
	"net/url"
	"strings"
)

const (
	// maxText bounds a text of somebody else's in the log.
	maxText = 500
	// secretRun is how many characters of a secret in a row are taken for it, or
	// all of a shorter one. A text may repeat a part of a secret, or one that is
	// escaped here and there. A secret of less than leastSecret is none.
	secretRun   = 8
	leastSecret = 4
)

// clean makes a text that a server, or something in between, may have written fit
// for the log. AWS answers a wrong signature with the request's headers, the session
// token among them, and a proxy's page may have them too: so it is one line, with
// sentence only the first sentence of it, and no word that has a part of a secret.
func clean(text string, sentence bool, secrets []string) string {
	short := len(text) <= maxText
	text = text[:min(len(text), maxText)]
	for _, end := range []string{"\n", "\r", `\n`, `\r`} { // the others are in a quoted text
		text, _, _ = strings.Cut(text, end)
	}
	if first, _, more := strings.Cut(text, ". "); more && sentence {
		text, short = first+".", true
	}
	words := strings.Fields(strings.ToValidUTF8(text, ""))
	for i, word := range words {
		if hasSecret(strings.ToLower(word), secrets) {
			words[i] = "[redacted]"
		}
	}
	text = strings.Join(words, " ")
	if !short {
		text += "…"
	}
	return text
}

// hasSecret reports whether a word in small letters has a part of a secret.
func hasSecret(word string, secrets []string) bool {
	for _, secret := range secrets {
		secret = strings.ToLower(secret) // what is in between may do so
		run := min(secretRun, len(secret))
		for i := range len(word) - run + 1 {
			if run >= leastSecret && strings.Contains(secret, word[i:i+run]) {
				return true
			}
		}
	}
	return false
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
