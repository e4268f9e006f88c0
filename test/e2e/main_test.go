// Package e2e runs the real extension process beside a real function process in
// the local Lambda, into the embedded Kinesis.
package e2e

import (
	"maps"
	"os"
	"testing"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

var binaries sandbox.Binaries // set once by TestMain

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m, &binaries)) }

// Credentials that the embedded Kinesis knows: the signature of every request
// is verified.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "not-a-secret"
)

// run is a run into the embedded Kinesis.
type run struct {
	*sandbox.Run
	t       *testing.T
	kinesis *kinesissim.Server
	stream  *sandbox.Records
}

// start brings up an embedded Kinesis and a sandbox. Options that are empty are
// the ordinary.
func start(t *testing.T, opt sandbox.Options, kinesisOptions ...func(*kinesissim.Config)) *run {
	t.Helper()
	cfg := kinesissim.Config{
		Streams:     []kinesissim.Stream{{Name: sandbox.Stream, Shards: 2}},
		Credentials: map[string]string{accessKey: secretKey},
	}
	for _, change := range kinesisOptions {
		change(&cfg)
	}
	kinesis, err := kinesissim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kinesis.Close() })
	env := map[string]string{"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey}
	maps.Copy(env, opt.Env)
	opt.Env = env
	if opt.Endpoint == "" {
		opt.Endpoint = kinesis.URL()
	}
	return &run{Run: sandbox.Start(t, binaries, opt), t: t, kinesis: kinesis, stream: sandbox.NewRecords(t, kinesis)}
}

// arrived returns the events of the stream.
func (r *run) arrived() []record.Event {
	r.t.Helper()
	return r.stream.Events()
}

func (r *run) complete() {
	r.t.Helper()
	r.Complete(r.arrived)
}
