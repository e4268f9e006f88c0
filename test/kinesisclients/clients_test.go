// Package kinesisclients tries clients of other languages, with their defaults, against the
// embedded Kinesis.
package kinesisclients

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kinetel/kinetel/kinesissim"
)

// conversation is what each client prints.
const conversation = `put: 2, failed 0
stream: ACTIVE, recent true
shards: 1
record: a, 256 bytes, recent true
record: é, 3 bytes, recent true
tag: team=a
error: Stream missing under account 123456789012 not found.
subscribed:
record: a, 256 bytes, recent true
record: é, 3 bytes, recent true
`

const cliConversation = `shardId-000000000000
shardId-000000000000
stream: ACTIVE
a	é
team	a
shards: 3

An error occurred (ResourceNotFoundException) when calling the DescribeStream operation: Stream missing under account 123456789012 not found.
status 255
`

// protocol tells from its headers what a request is written in.
func protocol(r *kinesissim.Request) string {
	switch h := r.Header; {
	case h.Get("Content-Type") == "application/x-amz-cbor-1.1":
		return "CBOR"
	case strings.Contains(h.Get("Authorization"), "SignedHeaders=:authority;"):
		return "JSON over HTTP/2"
	}
	return "JSON"
}

// client is a program that prints a conversation.
type client struct {
	variable string   // names the folder of the client's library
	command  []string // FOLDER is that folder, HERE is this one
	prints   string
	protocol string
	except   map[string]string // operations in another protocol
}

// try runs a client, and checks what it printed, how it asked, and what it stored. The
// server verifies each signature.
func (c client) try(t *testing.T) {
	t.Helper()
	t.Parallel()
	folder := os.Getenv(c.variable)
	if folder == "" {
		t.Skipf("%s is not set: `make integration` sets it", c.variable)
	}
	var mu sync.Mutex
	others := map[string]string{}
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{
		Credentials: map[string]string{"AKIDEXAMPLE": "not-a-secret"}, Intercept: func(r *kinesissim.Request) *kinesissim.Answer {
			mu.Lock()
			defer mu.Unlock()
			if p := protocol(r); p != c.protocol {
				others[r.Operation] = p
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer("FOLDER", folder, "HERE", here)
	var words []string
	for _, word := range c.command {
		words = append(words, replace.Replace(word))
	}
	cmd := exec.CommandContext(t.Context(), words[0], append(words[1:], "orders")...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") }),
		"AWS_ENDPOINT_URL_KINESIS="+sim.URL(), "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=not-a-secret",
		"AWS="+filepath.Join(folder, "aws"), "PYTHONIOENCODING=utf-8", "NODE_NO_WARNINGS=1", "LC_ALL=C.UTF-8")
	var log strings.Builder
	cmd.Stderr = &log
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, got, log.String())
	}
	if diff := cmp.Diff(c.prints, string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, log.String())
	}
	if diff := cmp.Diff(c.except, others, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("requests that are not %s (-want +got)\n%s", c.protocol, diff)
	}
	records := sim.Records("orders")
	if len(records) != 2 {
		t.Fatalf("%d records", len(records))
	}
	for i, b := range []byte(records[0].Data) {
		if b != byte(i) {
			t.Fatalf("byte %d is stored as %d", i, b)
		}
	}
	if r := records[1]; r.PartitionKey != "é" || string(r.Data) != "two" {
		t.Errorf("stored %q under %q", r.Data, r.PartitionKey)
	}
}

// The client of JavaScript speaks HTTP/2 without asking first, and signs :authority.
func TestJavaScript(t *testing.T) {
	client{
		variable: "KINETEL_KINESIS_CLIENTS", command: []string{"node", "HERE/client.mjs"},
		prints: conversation, protocol: "JSON over HTTP/2",
	}.try(t)
}

func TestPython(t *testing.T) {
	client{
		variable: "KINETEL_DOCS_PYTHON", command: []string{"FOLDER/python", "HERE/client.py"},
		prints: conversation, protocol: "JSON",
	}.try(t)
}

func TestTheAWSCLI(t *testing.T) {
	client{
		variable: "KINETEL_DOCS_PYTHON", command: []string{"sh", "HERE/client.sh"},
		prints: cliConversation, protocol: "JSON",
	}.try(t)
}

// The client of Java speaks CBOR, but JSON over HTTP/2 for a subscription.
func TestJava(t *testing.T) {
	client{
		variable: "KINETEL_KINESIS_JAVA", command: []string{"java", "-Dfile.encoding=UTF-8", "-cp", "FOLDER/*", "HERE/java/Client.java"},
		prints: conversation, protocol: "CBOR", except: map[string]string{"SubscribeToShard": "JSON"},
	}.try(t)
}
