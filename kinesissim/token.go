package kinesissim

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// Shard iterators and next tokens contain their state, so that the server does not
// have to store what a client may never use.

const tokenLife = 5 * time.Minute

// token is the content of an iterator or a next token.
type token struct {
	Kind   string `json:"k"`
	Stream string `json:"s"`
	ID     uint64 `json:"i,omitempty"` // of the stream
	Shard  uint32 `json:"h,omitempty"`
	Next   int    `json:"n,omitempty"` // the record to read next
	After  string `json:"a,omitempty"` // the name that a page ended with
	Filter string `json:"f,omitempty"` // of shards, with its time At
	At     int64  `json:"m,omitempty"` // milliseconds since 1970
	Made   int64  `json:"t"`           // milliseconds since 1970
}

const (
	iteratorToken  = "iterator"
	shardsToken    = "shards"
	streamsToken   = "streams"
	consumersToken = "consumers"
)

func (t token) encode() string {
	b, _ := json.Marshal(t) // cannot fail
	return base64.StdEncoding.EncodeToString(b)
}

func parseToken(kind, text string) (t token, ok bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(b, &t) != nil {
		return t, false
	}
	return t, t.Kind == kind && t.Next >= 0
}

func parseNextToken(kind, text string, now time.Time) (token, *apiError) {
	t, ok := parseToken(kind, text)
	if !ok {
		return t, invalidArgument("NextToken is invalid.")
	}
	if _, old := t.expired(now); old {
		return t, badRequest("ExpiredNextTokenException", "NextToken has expired.")
	}
	return t, nil
}

// expired reports whether a token is too old, and when it was made.
func (t token) expired(now time.Time) (time.Time, bool) {
	made := time.UnixMilli(t.Made)
	return made, now.Sub(made) > tokenLife
}
