package main

import (
	"context"
	"encoding/json"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kinetel/kinetel/internal/doctor/fakeaws"
	"github.com/kinetel/kinetel/kinesissim"
)

// startFakeAWS is the command `fakeaws FILE` of the scripts: it starts services that
// give the answers in a JSON file, and a Kinesis with the stream telemetry, and points
// the variables at them.
func startFakeAWS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fakeaws FILE")
	}
	var answers map[string]fakeaws.Answer
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &answers))
	sim, err := kinesissim.Start(context.Background(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "telemetry"}}})
	ts.Check(err)
	ts.Defer(func() { sim.Close() })
	fake, err := fakeaws.Start(answers, sim.URL())
	ts.Check(err)
	ts.Defer(fake.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": fake.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		ts.Setenv(name, value)
	}
}
