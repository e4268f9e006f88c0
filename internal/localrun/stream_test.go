package localrun

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kinetel/kinetel/lambdasim"
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
	if k := s.Summary(false); k.Audit != "" || k.Complete {
		t.Errorf("not audited: %+v", k)
	}
	if k := s.Summary(true); k.Audit == "" || k.Complete {
		t.Errorf("an empty stream is complete: %+v", k)
	}
}
