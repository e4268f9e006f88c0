package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinetel/kinetel/kinesissim"
)

func newKinesisCommand() *cobra.Command {
	var k kinesisCommand
	cmd := &cobra.Command{
		Use:   "kinesis",
		Short: "Serve an embedded Kinesis on this machine, for any AWS client",
		Long: `Serves the Kinesis that Kinetel's own tests use, until you press Ctrl-C. Use it
to try a producer, a consumer or a command line without an AWS account.

AWS clients work with their defaults, over HTTP/1.1 and HTTP/2, in JSON and CBOR:
the AWS CLI, boto3, the SDKs for JavaScript, Java and Go. They need an endpoint,
a region and any credentials; the command prints them for a shell. It listens on
the loopback interface only, because it checks no credentials.

The limits of requests and records are enforced, those of a shard's rate only
with --limits. Operations that Kinesis has and this one lacks are refused by name.

--dir keeps streams and records for the next start. They survive a kill of the
process, but not always one of the machine. The file grows with each request:
delete the folder to begin anew.

--port 0 -o json is for scripts. It prints one object: url,
region, streams (name, shards, arn), and certificate with --tls.`,
		Example: `  kinetel kinesis --stream telemetry
  kinetel kinesis --stream orders:4 --stream audit --throttle 0.3 --requests
  kinetel kinesis --stream telemetry --dir ~/.kinesis`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return k.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&k.streams, "stream", nil, "a stream as `NAME[:SHARDS]` (default: 1 shard); may be repeated")
	f.IntVar(&k.port, "port", 4567, "port of 127.0.0.1; 0 is a free one")
	f.StringVar(&k.region, "region", "eu-west-1", "region of the ARNs")
	f.Float64Var(&k.throttle, "throttle", 0, "`share` of the records that are put, and of the GetRecords requests, to throttle: from 0 to 1")
	f.BoolVar(&k.limits, "limits", false, "enforce the rates of a shard: 1,000 records and 1 MiB written a second, 5 reads and 2 MiB read")
	f.BoolVar(&k.requests, "requests", false, "print each request to standard error")
	f.StringVar(&k.dir, "dir", "", "a `folder` that keeps streams and records for the next start (default: memory only)")
	f.StringVar(&k.certificate, "tls", "", "serve HTTPS, and write the certificate to trust to a `file`")
	f.StringVarP(&k.output, "output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return cmd
}

type kinesisCommand struct {
	streams                          []string
	port                             int
	throttle                         float64
	limits, requests                 bool
	region, dir, certificate, output string
}

func (k *kinesisCommand) run(ctx context.Context, out, stderr io.Writer) error {
	cfg, err := k.config(stderr)
	if err != nil {
		return usage(err)
	}
	sim, err := kinesissim.Start(ctx, cfg)
	if err != nil {
		return k.explain(err)
	}
	defer sim.Close()
	if k.certificate != "" {
		if err := os.WriteFile(k.certificate, sim.CertificatePEM(), 0o600); err != nil {
			return fmt.Errorf("--tls: %w", err)
		}
	}
	if err := k.print(out, sim); err != nil {
		return err
	}
	<-ctx.Done()
	err = sim.Close() // so that no request follows
	stats := sim.Stats()
	fmt.Fprintf(stderr, "kinetel: the Kinesis ends: %d records of %d bytes were stored, %d refused\n", stats.Records, stats.Bytes, stats.Rejected)
	return err
}

// explain adds to an error of the start what to do.
func (k *kinesisCommand) explain(err error) error {
	if _, port := errors.AsType[*net.OpError](err); port {
		return fmt.Errorf("--port %d: %w: pass another one, or 0 for a free one", k.port, err)
	}
	if _, file := errors.AsType[*os.PathError](err); file || k.dir != "" {
		return fmt.Errorf("--dir %s: %w", k.dir, err)
	}
	return usage(err) // of a stream
}

// config reads the flags.
func (k *kinesisCommand) config(stderr io.Writer) (cfg kinesissim.Config, err error) {
	switch {
	case k.port < 0 || k.port > 65535:
		return cfg, fmt.Errorf("--port is %d: it must be from 0 to 65535", k.port)
	case !(k.throttle >= 0 && k.throttle <= 1): // NaN is refused, too
		return cfg, fmt.Errorf("--throttle is %v: it must be from 0 to 1", k.throttle)
	case k.output != "text" && k.output != "json":
		return cfg, fmt.Errorf("--output is %q: it must be text or json", k.output)
	}
	cfg = kinesissim.Config{
		Addr: "127.0.0.1:" + strconv.Itoa(k.port), Region: k.region, Dir: k.dir, EnforceRate: k.limits, TLS: k.certificate != "",
	}
	for _, text := range k.streams {
		s, err := parseStream(text)
		if err != nil {
			return cfg, err
		}
		cfg.Streams = append(cfg.Streams, s)
	}
	if k.throttle > 0 {
		cfg.Intercept = throttle(k.throttle)
	}
	if k.requests {
		cfg.OnRequest = func(o kinesissim.Observation) { fmt.Fprint(stderr, requestLine(o)) }
	}
	return cfg, nil
}

// parseStream reads NAME or NAME:SHARDS.
func parseStream(text string) (s kinesissim.Stream, err error) {
	name, count, given := strings.Cut(text, ":")
	s = kinesissim.Stream{Name: name, Shards: 1}
	if given {
		if s.Shards, err = strconv.Atoi(count); err != nil || s.Shards < 1 {
			return s, fmt.Errorf("--stream is %q: the shards must be a number from 1, as in %s:2", text, name)
		}
	}
	return s, nil
}

// throttle throttles a share of the records that are put and of the reads.
func throttle(share float64) kinesissim.Interceptor {
	const seed = 1
	records := kinesissim.FailRecordsAtRandom(seed, share, "ProvisionedThroughputExceededException")
	reads := kinesissim.ForOperation("GetRecords", kinesissim.AnswerAtRandom(seed, share, kinesissim.Throttle()))
	return func(r *kinesissim.Request) *kinesissim.Answer {
		return kinesissim.Combine(records(r), reads(r))
	}
}

// requestLine describes a request. Its names come from clients, so they are quoted.
func requestLine(o kinesissim.Observation) string {
	line := fmt.Sprintf("%s %q %q", time.Now().Format("15:04:05.000"), o.Operation, o.Stream)
	if o.Records > 0 {
		line += fmt.Sprintf(", %d records of %d bytes", o.Records, o.Bytes)
	}
	if o.Failed > 0 {
		line += fmt.Sprintf(", %d refused", o.Failed)
	}
	return line + fmt.Sprintf(": %d %s in %v\n", o.Status, o.Error, o.Duration.Round(10*time.Microsecond))
}

// servedKinesis is what -o json prints.
type servedKinesis struct {
	URL         string         `json:"url"`
	Region      string         `json:"region"`
	Certificate string         `json:"certificate,omitempty"`
	Streams     []servedStream `json:"streams"`
}

type servedStream struct {
	Name   string `json:"name"`
	Shards int    `json:"shards"`
	ARN    string `json:"arn"`
}

func (k *kinesisCommand) print(out io.Writer, sim *kinesissim.Server) error {
	streams := sim.Streams()
	if k.output == "json" {
		served := servedKinesis{URL: sim.URL(), Region: k.region, Certificate: k.certificate, Streams: []servedStream{}}
		for _, s := range streams {
			served.Streams = append(served.Streams, servedStream{s.Name, s.Shards, sim.StreamARN(s.Name)})
		}
		return json.NewEncoder(out).Encode(served)
	}
	text := fmt.Sprintf("# Kinesis is at %s until you press Ctrl-C. In another shell:\n", sim.URL())
	text += fmt.Sprintf("export AWS_ENDPOINT_URL_KINESIS=%[1]s AWS_REGION=%[2]s AWS_DEFAULT_REGION=%[2]s AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local\n", sim.URL(), k.region)
	if k.certificate != "" {
		text += fmt.Sprintf("export AWS_CA_BUNDLE=%s\n", k.certificate)
	}
	if len(streams) == 0 {
		text += "aws kinesis create-stream --stream-name telemetry --shard-count 1\n"
	}
	for _, s := range streams {
		text += fmt.Sprintf("aws kinesis describe-stream-summary --stream-name %s # shards: %d\n", s.Name, s.Shards)
	}
	_, err := io.WriteString(out, text)
	return err
}
