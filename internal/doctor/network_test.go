package doctor_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestCheckNetwork(t *testing.T) {
	runCases(t, []checkCase{
		{"no network here", func(s *situation) { s.offline, s.Stream = true, "telemetry" }, "network", []string{"notChecked: the network: " + endpoint + " does not answer this machine: connection refused; the function may reach it*"}},
		{"no network in the function", func(s *situation) { environment(s, "KINETEL_STREAM_NAME=telemetry"); s.offline = true }, "network", []string{"error: " + endpoint + " does not answer: connection refused*VPC*"}},
		{"an unknown host", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.offline, s.LookupHost = true, func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }
		}, "network", []string{"error: " + endpoint + " does not answer: no such host*"}},
		{"a function in a VPC", func(s *situation) { s.function["VpcConfig"] = map[string]any{"VpcId": "vpc-1"} }, "network", []string{"ok: " + endpoint + " (192.0.2.7) answers this machine in *", "notChecked: whether the function reaches Kinesis: it is in the VPC vpc-1*", "ok: *"}},
		{"a clock that is wrong", func(s *situation) {
			s.header = http.Header{"Date": {time.Now().Add(time.Hour + 30*time.Second).UTC().Format(http.TimeFormat)}}
		}, "network", []string{"ok: *", "warning: the clock of this machine is wrong by 1h0m*"}},
		{"a clock that is wrong in the function", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.header = http.Header{"Date": {time.Now().Add(-6 * time.Minute).UTC().Format(http.TimeFormat)}}
		}, "network", []string{"ok: *", "error: the clock of this machine is wrong by 6m*five minutes*"}},
		{"no date", func(s *situation) { s.header = http.Header{"Date": nil} }, "network", []string{"ok: *", "notChecked: the clock: the answer has no valid header Date*"}},
	})
}
