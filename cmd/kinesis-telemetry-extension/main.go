// Command kinesis-telemetry-extension is the Lambda extension. It takes no
// arguments: Lambda starts it from /opt/extensions, and the environment
// configures it (README.md has the table).
package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/credentials"
	"github.com/kinetel/kinetel/internal/extensionapi"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/lifecycle"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/pipeline"
	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/internal/selflog"
	"github.com/kinetel/kinetel/internal/ship"
	"github.com/kinetel/kinetel/internal/telemetry"
)

func main() {
	growStack(false)
	if err := run(os.Args[0], os.Environ(), os.Stdout, os.Stderr, newClient); err != nil {
		os.Exit(1)
	}
}

// growStack makes the stack of the calling goroutine large enough for the start, because its
// frame is: otherwise the stack would grow and be copied four times, with more on it each
// time.
func growStack(use bool) {
	if use {
		var frame [12 << 10]byte
		runtime.KeepAlive(&frame)
	}
}

// run runs the extension until Lambda ends it. An error means that the extension
// cannot continue with Lambda; run has logged it already.
func run(path string, environ []string, stdout, stderr io.Writer, connect func(config.Config, logging.Logger) ship.Putter) error {
	log := selflog.New(stderr, logging.LevelWarn)
	start := config.ReadRegistration(environ)
	if start.RuntimeAPI == "" {
		log.Error("AWS_LAMBDA_RUNTIME_API is not set: this is a Lambda extension, and Lambda starts it; `kinetel demo` runs it on this machine")
		return errors.New("not in Lambda")
	}

	// Lambda starts the function's runtime when every extension has
	// registered, so do everything else afterwards.
	api := extensionapi.New(start.RuntimeAPI)
	sandbox := newLookup("/etc/hosts", ipv4{net.DefaultResolver}, log)
	meanwhile := sandbox.begin
	if !start.Enabled {
		meanwhile = nil
	}
	events := []string{extensionapi.Invoke, extensionapi.Shutdown}
	if start.Initialization == config.ManagedInstances {
		events = events[1:] // Lambda does not allow INVOKE there
	}
	function, err := api.Register(context.Background(), meanwhile, filepath.Base(path), events...)
	noInvoke := len(events) > 1 && isInvalidEventType(err)
	if noInvoke {
		// Failing here would fail the function's init.
		function, err = api.Register(context.Background(), nil, filepath.Base(path), extensionapi.Shutdown)
	}
	if err != nil {
		log.Error("Lambda does not register the extension", "error", err.Error())
		return err
	}
	stop, cancel := context.WithCancel(context.Background())

	// From here on the process ends only when Lambda ends it, whatever happens.
	e := extension{api: api, function: function, sandbox: sandbox, stdout: stdout, connect: connect, listenForSignals: func() { go cancelOnSignal(cancel) }}
	ended := false
	guard.Run(log, "work", func() {
		cfg, problems := config.Load(environ)
		e.redactor = redact.New(redact.Options{Names: cfg.Redaction.Names, Pattern: cfg.Redaction.Pattern, Keys: cfg.Redaction.Keys})
		own := selflog.New(e.redactor.Writer(stderr), cfg.LogLevel)
		defer own.Close()
		e.cfg, e.log = cfg, own
		if noInvoke && cfg.Enabled {
			e.log.Warn("Lambda refused to register the extension for INVOKE; it is registered for SHUTDOWN: no invocation is held, and telemetry is sent as on Managed Instances")
			if cfg.Lambda.Initialization != config.SnapStart { // with SnapStart a restore still begins an environment
				e.cfg.Lambda.Initialization = config.ManagedInstances
			}
		}
		ended, err = e.live(stop, problems)
	})
	if !ended {
		err = lifecycle.Idle(stop, api, e.listenForSignals)
	}
	if err != nil && !errors.Is(err, errInitFailed) {
		log.Error("the extension ends early", "error", err.Error())
	}
	return err
}

// isInvalidEventType reports whether a registration failed because of the events that
// it was for.
func isInvalidEventType(err error) bool {
	answered := (*extensionapi.Error)(nil)
	return errors.As(err, &answered) && answered.Type == extensionapi.InvalidEventType
}

// extension is what the extension needs after the registration.
type extension struct {
	api      *extensionapi.Client
	function extensionapi.Function
	sandbox  telemetry.Resolver
	stdout   io.Writer
	connect  func(config.Config, logging.Logger) ship.Putter
	// listenForSignals must be called once, when the first next is sent.
	listenForSignals func()

	cfg      config.Config
	redactor *redact.Redactor // nil: nothing is redacted
	log      logging.Logger
}

// live ships telemetry if it is enabled and the configuration can be used. It reports
// whether the event loop has ended; if not, the caller has to call next until the end.
func (e *extension) live(stop context.Context, problems []config.Problem) (ended bool, err error) {
	severe := logProblems(e.log, problems)
	switch {
	case e.cfg.Strict && len(severe) > 0:
		return true, e.fail(stop, "Extension.ConfigInvalid", string(e.redactor.Text([]byte(strings.Join(severe, "; ")))))
	case !config.Usable(problems) || !e.cfg.Enabled:
		return false, nil
	}
	ended, err = e.work(stop)
	if refused := (*lifecycle.Refused)(nil); errors.As(err, &refused) {
		return true, e.fail(stop, initErrorType(refused.Err), refused.Error())
	}
	return ended, err
}

// errInitFailed is the result if the init fails because of KINETEL_STRICT. The reason
// has been logged already.
var errInitFailed = errors.New("the init was to fail")

// fail fails the function's init.
func (e *extension) fail(ctx context.Context, errorType, message string) error {
	if err := e.api.InitError(ctx, errorType, message); err != nil {
		e.log.Error("Lambda does not accept the error", "error", err.Error())
	}
	return errInitFailed
}

// initErrorType returns the errorType that fails an init because Kinesis rejects the
// requests.
func initErrorType(err error) string {
	e := (*kinesis.Error)(nil)
	switch {
	case !errors.As(err, &e):
	case e.Class == kinesis.Credentials:
		return "Extension.CredentialsInvalid"
	case e.Code == "ResourceNotFoundException":
		return "Extension.StreamNotFound"
	case e.Status == http.StatusForbidden || strings.Contains(e.Code, "AccessDenied"):
		return "Extension.AccessDenied"
	}
	return "Extension.ConfigInvalid"
}

// cancelOnSignal calls cancel after SIGTERM or SIGINT. Lambda itself sends extensions no
// signals; containers do.
func cancelOnSignal(cancel context.CancelFunc) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT) // until the end: a second one must not end the shutdown early
	<-signals
	cancel()
}

// work ships telemetry until Lambda shuts the environment down. It reports whether
// the event loop has ended; if not, no telemetry can be received.
func (e *extension) work(stop context.Context) (ended bool, err error) {
	cfg, log := e.cfg, e.log
	p := pipeline.New(e.function, cfg, e.redactor, e.connect(cfg, log), e.stdout, log)
	loop := lifecycle.New(e.api, p, cfg, ship.Jitter, log)

	managed := cfg.Lambda.Initialization == config.ManagedInstances
	listener, err := telemetry.Listen(stop, e.sandbox, managed, log, p.NewIngester(loop))
	if err != nil {
		log.Error("no telemetry can be received; the function runs on without", "error", err.Error())
		return false, nil
	}
	schema, err := telemetry.Subscribe(stop, e.api, listener.Destination(), managed, cfg.Types)
	if err != nil {
		listener.Close(context.Background())
		if errors.Is(err, telemetry.ErrNotSupported) {
			log.Warn("no telemetry arrives in this environment", "error", err.Error())
		} else {
			log.Error("no telemetry can be received; the function runs on without", "error", err.Error())
		}
		return false, nil
	}
	log.Debug("subscribed", "schema", schema, "port", listener.Port(), "types", cfg.Types)

	defer p.Stop() // if the loop ends without a shutdown
	return true, loop.Run(stop, func() {
		setLimits(cfg)
		listener.OnLargeBody(sync.OnceFunc(allowGarbage))
		listener.Serve()
		p.Start(listener)
		e.listenForSignals()
	})
}

// setLimits limits the memory of the Go runtime. The world stops for each limit, so set them
// when Lambda does not wait.
func setLimits(cfg config.Config) {
	// Apart from the buffer the Go heap is small, 2 MB. The percentage is what garbage may
	// add to it: 50 instead of 100 saves 1 MB. The limit keeps garbage from adding to a full
	// buffer.
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(cfg.BufferBytes + 6<<20)
}

// allowGarbage is for large bodies. With more frequent collections, one is more often going
// on when a body gets memory, and then the memory of the body before it is still in use.
func allowGarbage() { debug.SetGCPercent(100) }

// credentialSource returns the source of the credentials of the function's role.
func credentialSource(cfg config.AWS) kinesis.CredentialSource {
	if cfg.AccessKeyID != "" {
		return credentials.Static(cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken)
	}
	return credentials.Container(cfg.Container)
}

func newClient(cfg config.Config, log logging.Logger) ship.Putter {
	endpoint := cfg.AWS.Endpoint
	if endpoint == "" {
		endpoint = kinesis.Endpoint(cfg.AWS.Region, cfg.AWS.UseFIPS, cfg.AWS.UseDualStack)
	}
	// net/http itself reads HTTPS_PROXY and NO_PROXY.
	proxy := http.ProxyFromEnvironment
	if cfg.AWS.IgnoreProxy {
		proxy = nil
	}
	return kinesis.New(kinesis.Config{
		StreamName:  cfg.StreamName,
		StreamARN:   cfg.StreamARN,
		Region:      cfg.AWS.Region,
		Endpoint:    endpoint,
		CABundle:    cfg.AWS.CABundle,
		Credentials: credentialSource(cfg.AWS),
		Proxy:       proxy,
		Log:         log,
	})
}

// logProblems logs all problems with the configuration at once, a line for each
// severity. It returns those that are more than warnings.
func logProblems(log logging.Logger, problems []config.Problem) (severe []string) {
	var by [config.Fatal + 1][]string
	for _, p := range problems {
		text := p.String()
		if p.Severity == config.Replaced {
			text += "; " + p.Used + " is used instead"
		}
		by[p.Severity] = append(by[p.Severity], text)
	}
	if list := by[config.Fatal]; list != nil {
		log.Error("the configuration cannot be used: nothing is shipped, and the function runs on without", "problems", list)
	}
	if list := by[config.Replaced]; list != nil {
		log.Error("values in the configuration cannot be used and are replaced", "problems", list)
	}
	if list := by[config.Warning]; list != nil {
		log.Warn("the configuration has parts that have no effect", "problems", list)
	}
	return append(by[config.Fatal], by[config.Replaced]...)
}
