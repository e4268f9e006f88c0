package kinesissim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// apiError is an error as Kinesis returns it to a client.
type apiError struct {
	status  int
	kind    string // the exception's type, without a namespace
	message string
	xml     bool // returned as XML before the protocol is known, as AWS' front end does
}

func (e *apiError) Error() string { return e.kind + ": " + e.message }

func badRequest(kind, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, kind: kind, message: fmt.Sprintf(format, args...)}
}

func invalidArgument(format string, args ...any) *apiError {
	return badRequest("InvalidArgumentException", format, args...)
}

func serialization(format string, args ...any) *apiError {
	return badRequest("SerializationException", format, args...)
}

func (s *Server) streamNotFound(name, account string) *apiError {
	return badRequest("ResourceNotFoundException", "Stream %s under account %s not found.", name, account)
}

func (s *Server) shardNotFound(stream string, index uint32) *apiError {
	return badRequest("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist",
		shardName(index), stream, s.cfg.AccountID)
}

func (s *Server) rateExceeded(st *stream, sh *shard) *apiError {
	return badRequest(throughputExceeded, "Rate exceeded for shard %s in stream %s under account %s.", shardName(sh.index), st.Name, s.cfg.AccountID)
}

func dryRun() *apiError {
	return badRequest("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")
}

// violations collects the problems of a request's members; Kinesis reports all of
// them in one ValidationException.
type violations []string

// add adds that the value of the member at path breaks a constraint. The value is
// quoted unless it is the word null.
func (v *violations) add(value, path, constraint string) {
	if value != "null" {
		value = "'" + shorten(value) + "'"
	}
	*v = append(*v, "Value "+value+" at '"+path+"' failed to satisfy constraint: "+constraint)
}

func (v *violations) missing(path string) { v.add("null", path, "Member must not be null") }

func (v violations) err() *apiError {
	if len(v) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d validation errors detected: ", len(v))
	if len(v) == 1 {
		text = "1 validation error detected: "
	}
	for i, one := range v {
		if i == maxViolations {
			text += "; ..."
			break
		}
		if i > 0 {
			text += "; "
		}
		text += one
	}
	return badRequest("ValidationException", "%s", text)
}

const (
	maxViolations = 20  // named in one message
	maxEcho       = 512 // bytes of a refused value repeated in a message
)

// shorten shortens a part of a request for a message.
func shorten(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	cut := maxEcho
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

const (
	atLeast    = "Member must have length greater than or equal to %d"
	atMost     = "Member must have length less than or equal to %d"
	valueLeast = "Member must have value greater than or equal to %d"
	valueMost  = "Member must have value less than or equal to %d"
	pattern    = "Member must satisfy regular expression pattern: %s"
	enumSet    = "Member must satisfy enum value set: [%s]"
)

// length checks a string's length in characters.
func (v *violations) length(s, path string, least, most int) {
	n := utf8.RuneCountInString(s)
	if n < least {
		v.add(s, path, fmt.Sprintf(atLeast, least))
	}
	if n > most {
		v.add(s, path, fmt.Sprintf(atMost, most))
	}
}

// within checks a number that may be absent.
func (v *violations) within(n *int64, path string, least, most int64) {
	if n == nil {
		return
	}
	if *n < least {
		v.add(fmt.Sprint(*n), path, fmt.Sprintf(valueLeast, least))
	}
	if *n > most {
		v.add(fmt.Sprint(*n), path, fmt.Sprintf(valueMost, most))
	}
}

// oneOf checks a string that may be absent.
func (v *violations) oneOf(s *string, path string, valid ...string) {
	if s != nil && !slices.Contains(valid, *s) {
		v.add(*s, path, fmt.Sprintf(enumSet, strings.Join(valid, ", ")))
	}
}

// name checks the characters and the length of a stream's or shard's name.
func (v *violations) name(s, path string) {
	ok := s != ""
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-') {
			ok = false
			break
		}
	}
	if !ok {
		v.add(s, path, fmt.Sprintf(pattern, "[a-zA-Z0-9_.-]+"))
	}
	v.length(s, path, 1, 128)
}

// shardName checks the name of a shard that must be given.
func (v *violations) shardName(s *string, path string) {
	if s == nil {
		v.missing(path)
	} else {
		v.name(*s, path)
	}
}

// decimal checks 0|([1-9]\d{0,n}): a number without a leading zero.
func (v *violations) decimal(s, path string, n int) {
	ok := s != "" && len(s) <= n+1 && (s[0] != '0' || s == "0")
	for i := range len(s) {
		ok = ok && s[i] >= '0' && s[i] <= '9'
	}
	if !ok {
		v.add(s, path, fmt.Sprintf(pattern, fmt.Sprintf(`0|([1-9]\d{0,%d})`, n)))
	}
}
