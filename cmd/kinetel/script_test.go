package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kinetel/kinetel/kinesissim"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kinetel": main})
}

// TestScripts runs the command lines in testdata/script.
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", bin,
		"github.com/kinetel/kinetel/cmd/kinesis-telemetry-extension", "github.com/kinetel/kinetel/examples/function", "github.com/kinetel/kinetel/examples/bare-extension")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"fakeaws": startFakeAWS},
		Setup: func(env *testscript.Env) error {
			env.Setenv("BIN", bin)
			// The other programs are not in the folder of the command.
			env.Setenv("HOME", os.TempDir())
			// With the race detector a process sleeps for a second before it exits.
			env.Setenv("GORACE", "atexit_sleep_ms=20")
			return startStream(t, env)
		},
	})
}

// startStream starts a Kinesis for a script, at $KINESIS, and sets the keys of AWS. The
// stream telemetry has two records, with the events 1 to 3 and 3 to 4; the stream mixed
// has the same, and one of another program. The stream invoked has invocations, and the
// stream empty nothing.
func startStream(t *testing.T, env *testscript.Env) error {
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "telemetry", Shards: 2}, {Name: "mixed", Shards: 2}, {Name: "invoked", Shards: 1}, {Name: "empty", Shards: 1}}})
	if err != nil {
		return err
	}
	transport := &http.Transport{}
	env.Defer(func() { _ = sim.Close(); transport.CloseIdleConnections() })
	for name, value := range map[string]string{
		"KINESIS": sim.URL(), "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		env.Setenv(name, value)
	}
	client := kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(sim.URL()), Region: "eu-west-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
	for _, r := range []struct {
		stream, key string
		data        []byte
	}{
		{"telemetry", "a", telemetry(1, 3)},
		{"telemetry", "b", telemetry(3, 4)},
		{"mixed", "a", telemetry(1, 3)},
		{"mixed", "b", telemetry(3, 4)},
		{"mixed", "c", []byte("hello")},
		{"invoked", "a", invocations(1, 3, 4)},
		{"invoked", "b", invocations(4, 5, 6)},
		{"invoked", "c", []byte("hello")},
	} {
		if _, err := client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &r.stream, PartitionKey: &r.key, Data: r.data}); err != nil {
			return err
		}
	}
	return nil
}

// telemetry returns a record with the events from first to last.
func telemetry(first, last int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for seq := first; seq <= last; seq++ {
		_, _ = fmt.Fprintf(z, `{"schema":"kinetel/1","seq":%d,"time":"2026-11-27T20:15:00.%03dZ","type":"function","severity":"%s","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd",`+
			`"body":{"message":"line %d","order":7},"resource":{"faas.name":"orders","service.instance.id":"e1"}}`+"\n", seq, seq, []string{"INFO", "ERROR"}[seq%2], seq) // to memory
	}
	_ = z.Close()
	return b.Bytes()
}

// invocations returns a record with events of invocations: the numbers 3 and 6 end one, the
// others are lines, and 5 is a platform.report.
func invocations(seqs ...int) []byte {
	var b bytes.Buffer
	for _, seq := range seqs {
		kind, body := "function", `"123456789\n"`
		switch seq {
		case 3, 6:
			kind, body = "kinetel.invocation", fmt.Sprintf(`{"requestId":"r%d","metrics":{"memorySizeMB":512},"heldMs":%d}`, seq, 10*(6-seq))
		case 5:
			kind, body = "platform.report", `{"requestId":"r6","metrics":{"memorySizeMB":512}}`
		}
		fmt.Fprintf(&b, `{"schema":"kinetel/1","seq":%d,"time":"2026-11-27T20:15:00.001Z","type":"%s","body":%s,"resource":{"faas.name":"orders","service.instance.id":"e1"}}`+"\n", seq, kind, body)
	}
	return b.Bytes()
}
