package annotate

import (
	"bytes"
	"strings"
)

// maxRequest is the maximum length of a request id. Lambda's have 36 characters.
const maxRequest = 128

// candidate is a text that may be a request's id. It is one if an invocation with
// this id was announced; ids of other things are common.
type candidate struct {
	id   []byte
	rank uint8 // the lowest counts first
}

// candidate adds a candidate. If there are too many, it omits the least certain
// ones.
//
//go:noinline
func (l *line) candidate(rank uint8, id []byte) {
	if len(id) == 0 || len(id) > maxRequest {
		return
	}
	i := l.n
	for i > 0 && l.ids[i-1].rank > rank {
		i--
	}
	if i == len(l.ids) {
		return
	}
	l.n = min(l.n+1, len(l.ids))
	copy(l.ids[i+1:l.n], l.ids[i:])
	l.ids[i] = candidate{id, rank}
}

// Ranks of ids: if a line has several known ids, the lowest rank counts.
const (
	rankKey    = 1  // KINETEL_REQUEST_ID_KEYS
	rankPrefix = 2  // in the prefix of Lambda's own formats
	rankNested = 20 // in an object inside the line's object
	rankText   = 30 // in a text
)

// idRank returns how certainly a member's name is that of Lambda's request id: 0 if
// it is not, else a lower number is more certain. The names are those of Lambda's
// runtimes, Powertools, OpenTelemetry and loggers.
//
//go:noinline
func idRank(name []byte) uint8 {
	switch string(name) {
	case "AWSRequestId":
		return 3
	case "awsRequestId", "AwsRequestId":
		return 4
	case "requestId":
		return 5
	case "request_id":
		return 6
	case "aws_request_id":
		return 7
	case "function_request_id", "functionRequestId", "FunctionRequestId":
		return 8
	case "lambdaRequestId", "lambda_request_id", "LambdaRequestId":
		return 9
	case "faas.invocation_id", "faas.execution", "invocation_id", "invocationId":
		return 10
	case "RequestId", "requestID", "RequestID", "awsRequestID", "AWSRequestID":
		return 11
	}
	return 0
}

// readIDs finds ids with their names in a text: requestId="…" of Rust's spans,
// RequestId: …, aws_request_id=….
func (l *line) readIDs(text []byte) {
	for from := 0; ; {
		at := bytes.IndexByte(text[from:], 'q') // rare
		if at < 0 {
			return
		}
		at += from
		from = at + 1
		if !bytes.HasPrefix(text[from:], []byte("uest")) {
			continue
		}
		begin, end := at, from
		for begin > 0 && isName(text[begin-1]) {
			begin--
		}
		for end < len(text) && isName(text[end]) {
			end++
		}
		if idRank(text[begin:end]) == 0 {
			continue
		}
		rest := bytes.TrimLeft(text[end:], "\"'")
		if len(rest) == 0 || rest[0] != '=' && rest[0] != ':' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], " \"'")
		end = 0
		for end < len(rest) && (isName(rest[end]) || isDigit(rest[end]) || rest[end] == '-') {
			end++
		}
		l.candidate(rankText, rest[:end])
	}
}

// isName reports whether a character is part of a name.
func isName(c byte) bool { return isLetter(c) || c == '_' }

// isUUID reports whether text has the shape of Lambda's request ids.
func isUUID(text []byte) bool {
	return len(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' &&
		isHex(text[:8]) && isHex(text[9:13]) && isHex(text[14:18]) && isHex(text[19:23]) && isHex(text[24:])
}

// isRequest reports whether text may be written to a line as a request id. There it
// is not escaped again.
func isRequest(id string) bool {
	for i := range len(id) {
		if c := id[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxRequest
}

// root returns the trace id in the value of an X-Ray header:
// Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1 (AWS documentation,
// X-Ray concepts, tracing header).
func root(header string) string {
	for header != "" {
		var field string
		field, header, _ = strings.Cut(header, ";")
		if id, ok := strings.CutPrefix(strings.TrimSpace(field), "Root="); ok {
			if len(id) == len("1-5759e988-bd862e3fe1be46a994272793") && id[:2] == "1-" && id[10] == '-' && isHex([]byte(id[2:10])) && isHex([]byte(id[11:])) {
				return id
			}
			return ""
		}
	}
	return ""
}
