package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Severity is the effect of a Problem.
type Severity int

const (
	// Warning means that the variable has no effect, or less than it seems.
	Warning Severity = iota
	// Replaced means that the value cannot be used, and another one is used.
	Replaced
	// Fatal means that there is no destination, or that there are no credentials
	// for it. Nothing can be shipped.
	Fatal
)

// Problem is one thing that is wrong with the environment variables. It can be
// logged and shipped: it contains no secrets.
type Problem struct {
	Severity Severity
	Variable string
	Value    string // as given; empty if the variable is not set, or may hold a secret
	Used     string // the value that is used instead, if Severity is Replaced
	Message  string // what is wrong, or what would be valid
}

func (p Problem) String() string {
	if p.Value == "" {
		return p.Variable + ": " + p.Message
	}
	return fmt.Sprintf("%s=%q: %s", p.Variable, p.Value, p.Message)
}

// Usable reports whether the configuration can be used: no problem is Fatal.
func Usable(problems []Problem) bool { return Count(problems, Fatal) == 0 }

// Count returns how many of the problems have a severity.
func Count(problems []Problem, severity Severity) (n int) {
	for _, p := range problems {
		if p.Severity == severity {
			n++
		}
	}
	return n
}

func (l *loader) problem(severity Severity, name, used, message string) {
	value := l.text(name)
	if secret(name, value) {
		value = ""
	}
	l.problems = append(l.problems, Problem{Severity: severity, Variable: name, Value: clip(value), Used: clip(used), Message: message})
}

// warning adds a problem with a value that works, but may not be what the user meant.
func (l *loader) warning(name, format string, args ...any) {
	l.problem(Warning, name, "", fmt.Sprintf(format, args...))
}

// replaced adds a problem with a value that was replaced by used.
func (l *loader) replaced(name string, used any, format string, args ...any) {
	l.problem(Replaced, name, fmt.Sprint(used), fmt.Sprintf(format, args...))
}

// fatal adds a problem that leaves no destination, or no credentials for it.
func (l *loader) fatal(name, format string, args ...any) {
	l.problem(Fatal, name, "", fmt.Sprintf(format, args...))
}

// quote returns a part of a variable's value for a message.
func (l *loader) quote(name, part string) string {
	if secret(name, l.text(name)) || secret(name, part) {
		return "a part of it"
	}
	return strconv.Quote(clip(part))
}

// clip shortens a value, so that text pasted into the wrong variable does not fill
// the log.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// secret reports whether a value must not be logged: the variable may contain
// secrets by its purpose, or the value looks like a secret in the wrong place.
func secret(name, value string) bool {
	switch name {
	case "KINETEL_TAGS", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME":
		return true // other programs use these, too
	}
	if strings.HasSuffix(strings.ToLower(name), "_proxy") {
		return true // it may contain a password, wherever the mistake is
	}
	return hasSecretWord(name) || hasSecretWord(value) || strings.Contains(value, "@") || hasToken(value)
}

// hasSecretWord reports whether a text contains a word for a secret. "key" alone
// does not count: partition keys are not secret.
func hasSecretWord(s string) bool {
	s = strings.ToLower(s)
	return slices.ContainsFunc([]string{
		"secret", "token", "passw", "passphrase", "pwd", "credential", "auth", "bearer", "basic ", "private",
		"api_key", "api-key", "apikey", "access_key", "access-key", "accesskey",
	}, func(word string) bool { return strings.Contains(s, word) })
}

// hasToken reports whether a part of a text looks generated: an access key's id, or
// more than 20 letters and digits of base64 or hexadecimal.
func hasToken(s string) bool {
	runs := strings.FieldsFunc(s, func(c rune) bool { return !strings.ContainsRune(lower+upper+digits+"+/_-", c) })
	return slices.ContainsFunc(runs, func(run string) bool {
		return len(run) > 20 && strings.ContainsAny(run, digits) && strings.ContainsAny(run, lower+upper) ||
			len(run) >= 16 && (strings.Contains(run, "AKIA") || strings.Contains(run, "ASIA"))
	})
}
