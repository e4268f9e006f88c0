package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The load: bodies as Lambda posts them, of events of the same size.
const (
	eventBytes = 270
	bodyEvents = 960 // with commas and brackets 260 kB: Lambda sends up to 1,000 events or 256 KiB
	bodyBytes  = bodyEvents*(eventBytes+1) + 1
	requestID  = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
)

// newLoad returns so many different bodies. Their lines are text and JSON in turn. Ids,
// amounts and times differ from line to line, and what a program repeats does not.
func newLoad(bodies int) (all [][]byte) {
	chance := rand.New(rand.NewPCG(1, 2))
	at := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	for range bodies {
		body := []byte{'['}
		for i := range bodyEvents {
			if i > 0 {
				body = append(body, ',')
			}
			body = appendEvent(body, chance, at.Format("2006-01-02T15:04:05.000Z"), i%2 == 1)
			at = at.Add(time.Millisecond / 4)
		}
		all = append(all, append(body, ']'))
	}
	return all
}

// appendEvent appends a line's event, which is padded to its size.
func appendEvent(body []byte, chance *rand.Rand, at string, asJSON bool) []byte {
	const padding = " and leaves the warehouse in the morning, with the usual carrier, by road, to the address that the customer gave last"
	start := len(body)
	body = fmt.Appendf(body, `{"time":"%s","type":"function","record":"`, at)
	end := `\n"}`
	if asJSON {
		body = fmt.Appendf(body, `{\"timestamp\":\"%s\",\"level\":\"INFO\",\"requestId\":\"%s\",\"message\":\"`, at, requestID)
		end = `\"}` + end
	} else {
		body = fmt.Appendf(body, `%s\t%s\tINFO\t`, at, requestID)
	}
	body = fmt.Appendf(body, "order %d of %08x took %d ms", chance.Uint32(), chance.Uint32(), chance.IntN(1000))
	body = append(body, padding[:eventBytes-len(end)-(len(body)-start)]...)
	return append(body, end...)
}
