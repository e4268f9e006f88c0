package localrun

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
)

func TestOpenStream(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		url  string
		want string // the stream
		set  map[string]string
	}{
		"nothing":        {env: map[string]string{}, want: "telemetry", set: map[string]string{"KINETEL_STREAM_NAME": "telemetry"}},
		"a name":         {env: map[string]string{"KINETEL_STREAM_NAME": "orders"}, want: "orders", set: map[string]string{"KINETEL_STREAM_NAME": "orders"}},
		"an ARN":         {env: map[string]string{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/a"}, want: "a", set: map[string]string{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/a"}},
		"another region": {env: map[string]string{"AWS_REGION": "us-east-1"}, want: "telemetry", set: map[string]string{"AWS_REGION": "us-east-1", "KINETEL_STREAM_NAME": "telemetry"}},
		"a URL":          {env: map[string]string{}, url: "http://127.0.0.1:1", want: "telemetry", set: map[string]string{"KINETEL_STREAM_NAME": "telemetry", "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:1"}},
		"an endpoint of the user's": {
			env: map[string]string{"AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:2"}, want: "telemetry",
			set: map[string]string{"KINETEL_STREAM_NAME": "telemetry", "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenStream(t.Context(), lambdasim.Config{Env: test.env}, test.url, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if test.set[endpoint] == "" {
				test.set[endpoint] = s.URL
			}
			if diff := cmp.Diff(test.set, test.env); diff != "" || s.Name != test.want || s.Embedded() != (test.url == "") {
				t.Errorf("%+v: %s", s, diff)
			}
			if s.Embedded() {
				if streams := s.sim.Streams(); len(streams) != 1 || streams[0].Name != test.want {
					t.Errorf("streams: %v", streams)
				}
			}
		})
	}
	if _, err := OpenStream(t.Context(), lambdasim.Config{Env: map[string]string{"KINETEL_STREAM_NAME": "or/ders"}}, "", nil, nil); err == nil {
		t.Error("a stream that cannot be was made")
	}
}

func TestStreamWithRecordsOfOthers(t *testing.T) {
	s, err := OpenStream(t.Context(), lambdasim.Config{Env: map[string]string{}}, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if k := s.Summary(false, 0); k.Audit != "" || k.Complete {
		t.Errorf("not audited: %+v", k)
	}
	if k := s.Summary(true, 0); k.Audit == "" || k.Complete {
		t.Errorf("an empty stream is complete: %+v", k)
	}
}

// An event of Lambda's in parts counts once, one of Kinetel's not, and what the last report
// of each process left out is added up.
func TestArrivals(t *testing.T) {
	var a arrivals
	add := func(id string, seq uint64, kind, body string, part int) {
		t.Helper()
		e := record.Event{
			Schema: record.Schema, Seq: seq, Type: kind, Part: part, Parts: 2 * min(part, 1), Body: json.RawMessage(body),
			Resource: map[string]string{"service.instance.id": id},
		}
		if err := a.add(e); err != nil {
			t.Error(err)
		}
	}
	report := func(id string, seq uint64, received, leftOut int64, final bool) {
		t.Helper()
		body, err := json.Marshal(record.Report{Final: final, Received: record.Count{Events: received}, LeftOut: record.LeftOut{Level: leftOut}, Lost: map[string]int64{}})
		if err != nil {
			t.Fatal(err)
		}
		add(id, seq, "kinetel.report", string(body), 0)
	}
	add("a", 1, "function", `"x"`, 0)
	add("a", 1, "function", `"x"`, 0)
	add("a", 2, "function", `"y"`, 1)
	add("a", 3, "function", `"z"`, 2)
	add("b", 1, "platform.start", `{}`, 0)
	add("b", 2, "kinetel.environment", `{}`, 0)
	report("a", 4, 5, 2, false)
	report("a", 9, 9, 3, false)
	report("a", 12, 2, 1, false)
	report("b", 3, 5, 10, true)
	report("b", 5, 7, 20, false)
	if n, leftOut := a.count(), a.leftOut(); n != 3 || leftOut != 3+1+10+20 {
		t.Errorf("%d events, %d left out; want 3 and 34", n, leftOut)
	}
}
