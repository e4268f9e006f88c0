package event

import "encoding/json"

// maxRequestID is longer than any of Lambda's request ids (36 characters), and
// shorter than a partition key may be.
const maxRequestID = 128

// RequestID returns the requestId of a platform event's record, or "" if there is
// none.
func RequestID(record []byte) string {
	var r struct {
		RequestID string `json:"requestId"`
	}
	if err := json.Unmarshal(record, &r); err != nil || len(r.RequestID) > maxRequestID {
		return ""
	}
	return r.RequestID
}
