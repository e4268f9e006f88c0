package schematest

import (
	"slices"
	"strings"
	"testing"
)

// badEvent is a sample with a member changed so that it is invalid.
type badEvent struct {
	of, what string // the sample, the change
	where    at
	value    string // JSON; empty: without the member
}

// badEvents are events that the schema rejects.
func badEvents() []badEvent {
	return []badEvent{
		{"text", "without a schema", at{"schema"}, ``},
		{"text", "another version", at{"schema"}, `"kinetel/2"`},
		{"text", "without a number", at{"seq"}, ``},
		{"text", "number 0", at{"seq"}, `0`},
		{"text", "a number below 0", at{"seq"}, `-1`},
		{"text", "half a number", at{"seq"}, `1.5`},
		{"text", "a number that is text", at{"seq"}, `"1"`},
		{"text", "a number of more than 64 bits", at{"seq"}, `18446744073709551616`},
		{"text", "without a time", at{"time"}, ``},
		{"text", "a time of no zone", at{"time"}, `"2026-11-22T20:15:00.123"`},
		{"text", "a time with a space", at{"time"}, `"2026-11-22 20:15:00.123Z"`},
		{"text", "a time of month 13", at{"time"}, `"2026-13-22T20:15:00.123Z"`},
		{"text", "a time of February 30", at{"time"}, `"2026-02-30T20:15:00.123Z"`},
		{"text", "a time of hour 24", at{"time"}, `"2026-12-22T24:15:00.123Z"`},
		{"text", "a time with no digit behind the point", at{"time"}, `"2026-12-22T20:15:00.Z"`},
		{"text", "a time and more", at{"time"}, `"2026-11-22T20:15:00.123Z "`},
		{"text", "a time that is a number", at{"time"}, `1795378500123`},
		{"text", "no type", at{"type"}, ``},
		{"text", "an empty type", at{"type"}, `""`},
		{"text", "a type that is a number", at{"type"}, `1`},
		{"text", "a severity in small letters", at{"severity"}, `"info"`},
		{"text", "a severity that is none of the six", at{"severity"}, `"NOTICE"`},
		{"text", "an empty severity", at{"severity"}, `""`},
		{"text", "a severity that is a number", at{"severity"}, `9`},
		{"platform.start", "a platform event with a severity", at{"severity"}, `"INFO"`},
		{"kinetel.report", "an event of Kinetel's with a severity", at{"severity"}, `"INFO"`},
		{"kinetel.invocation", "an invocation with a severity", at{"severity"}, `"INFO"`},
		{"text", "an empty request", at{"requestId"}, `""`},
		{"text", "a request of 129 characters", at{"requestId"}, `"` + strings.Repeat("x", 129) + `"`},
		{"text", "a request with a quote", at{"requestId"}, `"a\"b"`},
		{"text", "a request with a backslash", at{"requestId"}, `"a\\b"`},
		{"text", "a request with a line feed at its end", at{"requestId"}, `"ab\n"`},
		{"text", "a request beyond ASCII", at{"requestId"}, `"ä"`},
		{"text", "a request that is null", at{"requestId"}, `null`},
		{"text", "a trace in OpenTelemetry's form", at{"traceId"}, `"5759e988bd862e3fe1be46a994272793"`},
		{"text", "an X-Ray header for a trace", at{"traceId"}, `"Root=` + trace + `"`},
		{"text", "an empty trace", at{"traceId"}, `""`},
		{"text", "a trace with a line feed at its end", at{"traceId"}, `"` + trace + `\n"`},
		{"text", "a trace without a request", at{"requestId"}, ``},
		{"platform.start", "a start with a trace and no request", at{"requestId"}, ``},
		{"a later stream", "a trace of a later stream without a request", at{"traceId"}, `"` + trace + `"`},
		{"extension", "an extension's line of a request", at{"requestId"}, `"a"`},
		{"extension", "an extension's line of a trace", at{"traceId"}, `"` + trace + `"`},
		{"kinetel.environment", "an environment of a request", at{"requestId"}, `"a"`},
		{"kinetel.loss", "a loss of a request", at{"requestId"}, `"a"`},
		{"kinetel.report", "a report of a request", at{"requestId"}, `"a"`},
		{"kinetel.unparsed", "text of a request", at{"requestId"}, `"a"`},
		{"kinetel.report", "a report of a trace", at{"traceId"}, `"` + trace + `"`},
		{"kinetel.invocation", "an invocation of no request", at{"requestId"}, ``},
		{"kinetel.span", "a span of no request", at{"requestId"}, ``},
		{"kinetel.init", "an init of a request", at{"requestId"}, `"a"`},
		{"kinetel.init", "an init of a trace", at{"traceId"}, `"` + trace + `"`},
		{"kinetel.init", "an init that is no cold start", at{"body", "coldStart"}, `false`},
		{"kinetel.init", "an init that takes less than nothing", at{"body", "metrics", "durationMs"}, `-1`},
		{"part", "a part without the number of parts", at{"parts"}, ``},
		{"part", "parts without a part", at{"part"}, ``},
		{"part", "part 0", at{"part"}, `0`},
		{"part", "of 0 parts", at{"parts"}, `0`},
		{"part", "half a part", at{"part"}, `0.5`},
		{"part", "an object in a part", at{"body"}, `{}`},
		{"part", "nothing in a part", at{"body"}, `""`},
		{"last part", "extra in the last part", at{"extra"}, `{"b":1}`},
		{"kinetel.loss", "a loss in parts", at{"part"}, `1`},
		{"broken UTF-8", "an original without its padding", at{"bodyBase64"}, `"ImE"`},
		{"broken UTF-8", "an original of the URL alphabet", at{"bodyBase64"}, `"I-__"`},
		{"broken UTF-8", "an empty original", at{"bodyBase64"}, `""`},
		{"kinetel.report", "an original of a report", at{"bodyBase64"}, `"ImEi"`},
		{"kinetel.loss", "an original of a loss", at{"bodyBase64"}, `"ImEi"`},
		{"kinetel.environment", "an original of an environment", at{"bodyBase64"}, `"ImEi"`},
		{"kinetel.report", "extra of Kinetel's own event", at{"extra"}, `{"b":1}`},
		{"text", "no body", at{"body"}, ``},
		{"extra", "extra of nothing", at{"extra"}, `{}`},
		{"extra", "extra that is a list", at{"extra"}, `[1]`},
		{"text", "no resource", at{"resource"}, ``},
		{"text", "a resource that is null", at{"resource"}, `null`},
		{"text", "a resource without an environment", at{"resource", "service.instance.id"}, ``},
		{"text", "an environment without an id", at{"resource", "service.instance.id"}, `""`},
		{"text", "a number in the resource", at{"resource", "env"}, `1`},
		{"text", "an empty attribute", at{"resource", "env"}, `""`},
		{"text", "an empty region", at{"resource", "cloud.region"}, `""`},
		{"text", "a log stream of 513 characters", at{"resource", "faas.instance"}, `"` + strings.Repeat("x", 513) + `"`},
		{"text", "an account that is a number", at{"resource", "cloud.account.id"}, `123456789012`},
		{"text", "another cloud", at{"resource", "cloud.provider"}, `"gcp"`},
		{"text", "a member of a later version", at{"level"}, `"INFO"`},
		{"kinetel.report", "the same of an event of Kinetel's", at{"bodies"}, `1`},
		{"text", "no object", nil, `[]`},
		{"kinetel.loss", "none lost", at{"body", "count"}, `0`},
		{"kinetel.loss", "a loss from 0", at{"body", "firstSeq"}, `0`},
		{"kinetel.loss", "a reason in words", at{"body", "reason"}, `"no room"`},
		{"kinetel.loss", "fewer bytes than none lost", at{"body", "bytes"}, `-1`},
		{"kinetel.loss", "half an event lost", at{"body", "count"}, `0.5`},
		{"kinetel.invocation", "a hold below 0", at{"body", "heldMs"}, `-1`},
		{"kinetel.invocation", "a duration below 0", at{"body", "metrics", "durationMs"}, `-0.5`},
		{"kinetel.invocation", "a billed duration below 0", at{"body", "metrics", "billedDurationMs"}, `-1`},
		{"kinetel.invocation", "an init below 0", at{"body", "metrics", "initDurationMs"}, `-1`},
		{"kinetel.invocation", "a restore below 0", at{"body", "metrics", "restoreDurationMs"}, `-1`},
		{"kinetel.invocation", "a billed restore below 0", at{"body", "metrics", "billedRestoreDurationMs"}, `-1`},
		{"kinetel.invocation", "memory below 0", at{"body", "metrics", "memorySizeMB"}, `-1`},
		{"kinetel.invocation", "used memory below 0", at{"body", "metrics", "maxMemoryUsedMB"}, `-1`},
		{"kinetel.invocation", "an overhead below 0", at{"body", "extensionOverheadMs"}, `-1`},
		{"kinetel.invocation", "events below 0", at{"body", "events"}, `-1`},
		{"kinetel.invocation", "numbers of 0 events", at{"body", "events"}, `0`},
		{"kinetel.invocation", "bytes below 0", at{"body", "bytes"}, `-1`},
		{"unreported", "a cold start without a report", at{"body", "coldStart"}, `true`},
		{"kinetel.invocation", "a hold without its length", at{"body", "heldMs"}, ``},
		{"kinetel.invocation", "a hold without its reason", at{"body", "hold"}, ``},
		{"kinetel.invocation", "a begin without an end", at{"body", "lastSeq"}, ``},
		{"kinetel.invocation", "numbers of no events", at{"body", "events"}, ``},
		{"kinetel.invocation", "reported: not unreported", at{"body", "unreported"}, `false`},
		{"kinetel.invocation", "a rate without a decision", at{"body", "sampled"}, ``},
		{"kinetel.invocation", "a decision without a rate", at{"body", "sampleRate"}, ``},
		{"kinetel.invocation", "a rate of everything", at{"body", "sampleRate"}, `1`},
		{"kinetel.invocation", "nothing left out", at{"body", "leftOut"}, `{}`},
		{"kinetel.invocation", "none left out", at{"body", "leftOut", "level"}, `0`},
		{"kinetel.limit", "no line left out", at{"body", "events"}, `0`},
		{"kinetel.limit", "a limit of no request", at{"requestId"}, ``},
		{"kinetel.report", "an odd pattern", at{"body", "redacted", "No name"}, `1`},
		{"kinetel.environment", "another platform", at{"body", "attributes", "cloud.platform"}, `"gcp"`},
		{"kinetel.environment", "no memory", at{"body", "attributes", "faas.max_memory"}, `0`},
		{"kinetel.environment", "an interval below 0", at{"body", "kinetel", "flushIntervalMs"}, `-1`},
		{"kinetel.environment", "a buffer below 0", at{"body", "kinetel", "bufferBytes"}, `-1`},
		{"kinetel.report", "an uptime below 0", at{"body", "uptimeMs"}, `-1`},
		{"kinetel.report", "a latency below 0", at{"body", "putLatencyMs", "p50"}, `-0.1`},
		{"kinetel.report", "a longest hold below 0", at{"body", "held", "ms", "max"}, `-0.1`},
		{"kinetel.report", "fewer than none waiting", at{"body", "waiting"}, `-1`},
		{"kinetel.report", "fewer than none lost", at{"body", "lost", "oversize"}, `-1`},
		{"kinetel.report", "files of fewer bytes than none", at{"body", "spooled", "bytes"}, `-1`},
		{"kinetel.report", "fewer than none dropped by Lambda", at{"body", "logsDropped", "records"}, `-1`},
		{"kinetel.report", "an odd reason", at{"body", "lost", "No room"}, `1`},
		{"kinetel.report", "fewer than none received", at{"body", "received", "events"}, `-1`},
		{"kinetel.unparsed", "text that is an object", at{"body"}, `{}`},
		{"kinetel.unparsed", "no text", at{"body"}, `""`},
	}
}

// badComparisons are events whose members contradict each other. A JSON Schema cannot
// compare two members, so only Validate rejects them.
func badComparisons() []badEvent {
	return []badEvent{
		{"last part", "part 3 of 2", at{"part"}, `3`},
		{"kinetel.loss", "a loss from 9 to 8", at{"body", "firstSeq"}, `10`},
		{"kinetel.loss", "more lost than there are numbers", at{"body", "count"}, `8`},
		{"kinetel.invocation", "a body of another request", at{"body", "requestId"}, `"a"`},
		{"kinetel.limit", "a body of another request", at{"body", "requestId"}, `"a"`},
		{"kinetel.invocation", "from 10 to 9", at{"body", "firstSeq"}, `10`},
	}
}

func TestInvalidEventsAreRejected(t *testing.T) {
	published, _ := both(t)
	all := samples(t)
	for _, tt := range slices.Concat(badEvents(), badComparisons()) {
		t.Run(tt.of+": "+tt.what, func(t *testing.T) {
			text := changed(t, all[tt.of], tt.where, tt.value)
			if err := published.event([]byte(text)); err == nil {
				t.Errorf("this is accepted: %s", text)
			}
			// It was this that made the difference.
			if err := published.event([]byte(all[tt.of])); err != nil {
				t.Error(err)
			}
		})
	}
}
