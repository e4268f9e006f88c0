// Command kinesis-telemetry-extension is the Lambda extension. It takes no
// arguments: Lambda starts it from /opt/extensions, and the environment
// configures it (README.md has the table).
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"

	"kinetel/internal/config"
	"kinetel/internal/extensionapi"
	"kinetel/internal/kinesis"
	"kinetel/internal/lifecycle"
	"kinetel/internal/telemetry"
)

func main() {
	if err := run(os.Args[0], os.Environ(), os.Stderr); err != nil {
		os.Exit(1)
	}
}

// run is the extension's life. An error was told already; it means that Lambda
// and the extension cannot go on with each other.
func run(path string, environ []string, stderr io.Writer) error {
	log := newLogger(stderr, slog.LevelWarn)
	runtimeAPI := config.RuntimeAPI(environ)
	if runtimeAPI == "" {
		log.Error("AWS_LAMBDA_RUNTIME_API is not set: this is a Lambda extension, and Lambda starts it; `kinetel demo` runs it on this machine")
		return errors.New("not in Lambda")
	}

	// Lambda starts the function's runtime when every extension has
	// registered, so everything that can wait, waits.
	api := extensionapi.New(runtimeAPI)
	sandbox := newLookup(net.DefaultResolver)
	function, err := api.Register(sandbox.whileAnswered(context.Background()), filepath.Base(path), extensionapi.Invoke, extensionapi.Shutdown)
	if err != nil {
		log.Error("Lambda does not register the extension", "error", err.Error())
		return err
	}
	cfg, problems := config.Load(environ)
	log = newLogger(stderr, cfg.LogLevel)
	stop, release := stopOnSignal()
	defer release()

	bad, usable := tell(log, problems), config.Usable(problems)
	switch {
	case !usable && cfg.Strict:
		if err := api.InitError(stop, "Extension.ConfigInvalid", strings.Join(bad, "; ")); err != nil {
			log.Error("Lambda does not take the error", "error", err.Error())
		}
		return errors.New("bad configuration")
	case !usable, !cfg.Enabled:
		return finish(log, lifecycle.Idle(stop, api))
	}
	return finish(log, work(stop, api, function, sandbox, cfg, log))
}

// stopOnSignal returns a context that ends with SIGTERM or SIGINT. Lambda itself
// sends extensions no signals; containers do. The runtime takes up to a
// millisecond to begin to listen for them, which nobody has to wait for.
func stopOnSignal() (stop context.Context, release func()) {
	stop, cancel := context.WithCancel(context.Background())
	finished, released := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(released)
		signals, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		// Not before the end: a second signal must not cut the shutdown short.
		defer release()
		select {
		case <-signals.Done():
			cancel()
			<-finished
		case <-finished:
		}
	}()
	return stop, func() {
		cancel()
		close(finished)
		<-released
	}
}

// work ships telemetry until Lambda shuts the environment down.
func work(stop context.Context, api *extensionapi.Client, function extensionapi.Function, sandbox telemetry.Resolver, cfg config.Config, log *slog.Logger) error {
	// The Go heap, beside what waits, is small; the limit keeps garbage from
	// adding to a full buffer.
	debug.SetMemoryLimit(cfg.BufferBytes + 6<<20)

	p := newPipeline(function, cfg, newClient(cfg), log)
	loop := lifecycle.New(api, p, cfg, log)

	listener, err := telemetry.Listen(stop, sandbox, log, intake{p, p.own(), loop})
	if err != nil {
		log.Error("no telemetry can be received; the function runs on without", "error", err.Error())
		return lifecycle.Idle(stop, api)
	}
	schema, err := telemetry.Subscribe(stop, api.HTTP(), cfg.Lambda.RuntimeAPI, api.ID(), listener.Port(), cfg.Types)
	if err != nil {
		listener.Close(context.Background())
		if errors.Is(err, telemetry.ErrNotSupported) {
			log.Warn("no telemetry arrives in this environment", "error", err.Error())
		} else {
			log.Error("no telemetry can be received; the function runs on without", "error", err.Error())
		}
		return lifecycle.Idle(stop, api)
	}
	log.Debug("subscribed", "schema", schema, "port", listener.Port(), "types", cfg.Types)

	p.start(listener)
	defer p.stop() // where the loop ends without a shutdown
	return loop.Run(stop)
}

func newClient(cfg config.Config) *kinesis.Client {
	endpoint := cfg.AWS.Endpoint
	if endpoint == "" {
		endpoint = kinesis.Endpoint(cfg.AWS.Region, cfg.AWS.UseFIPS, cfg.AWS.UseDualStack)
	}
	creds := aws.Credentials{
		AccessKeyID:     cfg.AWS.AccessKeyID,
		SecretAccessKey: cfg.AWS.SecretAccessKey,
		SessionToken:    cfg.AWS.SessionToken,
	}
	return kinesis.New(kinesis.Config{
		StreamName: cfg.StreamName,
		StreamARN:  cfg.StreamARN,
		Region:     cfg.AWS.Region,
		Endpoint:   endpoint,
		CABundle:   cfg.AWS.CABundle,
		// Lambda fixes a process's keys when it starts it.
		Credentials: func(context.Context) (aws.Credentials, error) { return creds, nil },
		// HTTPS_PROXY and NO_PROXY are read by net/http itself.
		Proxy: http.ProxyFromEnvironment,
	})
}

// newEnvironmentID draws the id of this execution environment, 128 random bits
// as 32 hexadecimal digits.
func newEnvironmentID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead (crypto/rand)
	return hex.EncodeToString(id[:])
}

// newLogger returns the extension's own log: JSON lines, told apart from the
// function's by the name.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})).With("logger", "kinetel")
}

// tell tells all problems with the configuration at once. It returns those that
// keep the extension from working.
func tell(log *slog.Logger, problems []config.Problem) (bad []string) {
	var odd []string
	for _, p := range problems {
		if p.Warning {
			odd = append(odd, p.String())
		} else {
			bad = append(bad, p.String())
		}
	}
	if len(bad) > 0 {
		log.Error("the configuration cannot be used: nothing is shipped, and the function runs on without", "problems", bad)
	}
	if len(odd) > 0 {
		log.Warn("the configuration has variables that mean nothing", "problems", odd)
	}
	return bad
}

// finish tells how the loop ended, if that was not in order.
func finish(log *slog.Logger, err error) error {
	if err != nil {
		log.Error("the extension ends early", "error", err.Error())
	}
	return err
}
