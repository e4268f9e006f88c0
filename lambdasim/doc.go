// Package lambdasim is a local AWS Lambda for developers of extensions. It
// starts a real function process and real extension processes, and speaks the
// Runtime API (2018-06-01), the Extensions API (2020-01-01) and the Telemetry
// API (2022-07-01) to them as AWS Lambda does: with telemetry, freezes,
// time-outs, resets and the shutdown phase. It needs no root, no container and
// no entry in the hosts file, and it listens on 127.0.0.1 only. It runs on
// Linux.
//
// # Use
//
//	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
//		Function:   lambdasim.Process{Path: "bin/bootstrap"},
//		Extensions: []lambdasim.Process{{Path: "bin/my-extension"}},
//		OnEvent:    func(e lambdasim.Event) { ... }, // what was emitted
//	})
//	result, err := sandbox.Invoke(ctx, []byte(`{"hello":"world"}`))
//	report, err := sandbox.Shutdown(ctx)
//
// Start runs Init, Invoke an invocation, and Shutdown the shutdown phase. Each
// returns when its phase is over; the environment is frozen then (SIGSTOP to
// every process group), except with Managed Instances. An extension is compiled as for AWS Lambda and needs to
// know nothing: it registers under the base name of its file, and subscribes
// with http://sandbox.localdomain:PORT. The sandbox dials 127.0.0.1 at that
// port, so a listener on 127.0.0.1 or on all addresses works, and one on the
// name itself does not.
//
// OnEvent reports what an extension can be checked against: every event, in order,
// with the exact bytes that are sent, the invocation that it belongs to, and the
// subscribers that do not get it because their backlog is too large. OnDropped
// reports what was dropped later, with Config.DropUnanswered. OnDelivered reports
// the events that an extension has accepted, and so must deliver; a process that is
// killed need not deliver others. OnNotice reports what the sandbox does. Processes
// and ShutdownReport have what benchmarks need: the times from exec to register, subscribe and first next, memory, CPU, and how
// long each extension held an invocation is in Result.
//
// # What is as on AWS Lambda
//
// Facts come from the AWS documentation, from the source of the
// aws-lambda-runtime-interface-emulator (which shares code with AWS Lambda, but
// has no telemetry for ordinary functions), and from public reports. If
// these are silent, the choice is this package's own, and is written down at
// the code that makes it. Worth knowing:
//
//   - Init ends when the runtime and every extension have called next; an
//     invocation ends when the runtime and every extension subscribed to INVOKE
//     have. The client has its answer earlier: Result.ResponseLatency.
//
//   - platform.report exists when the invocation has ended, so it is delivered
//     in the next one, or in the shutdown. There it may come after the SHUTDOWN
//     event: an extension that exits at once misses it, and
//     ProcessReport.UndeliveredEvents counts it.
//
//   - A telemetry batch is sent when it is full by items or bytes, or when its
//     time-out passed; one POST at a time for each subscriber; again, with
//     back-off and in order, until it is answered with 2xx. The time-out counts
//     the environment's own time and begins anew at a thaw.
//
//   - A record larger than maxBytes is split over two or more POSTs, none of which
//     is valid JSON, as was observed on AWS Lambda. The split is at the byte that
//     fills maxBytes, be it inside an escape sequence or a character.
//
//   - Lines that were written before the runtime called next are emitted before
//     platform.runtimeDone, best effort as on AWS Lambda. Config.LateLines makes
//     some come later. Standard output and standard error are two streams: the
//     order between lines of one and lines of the other is not kept.
//
//   - A time-out, a crash of the runtime or of an extension, and exit/error
//     reset the environment: SHUTDOWN with reason timeout or failure, and new
//     processes in the next invocation.
//
//   - An extension gets no SIGTERM. The shutdown's deadline counts from the
//     phase's start, of which the runtime takes its part first.
//
//   - A response is streamed where the runtime streams it: runtimeDone comes
//     after its end, and the span responseLatency ends with its first byte.
//
// # Other modes
//
// Config.InitializationType chooses how the environment comes into being. What
// is written above is about InitOnDemand; of the others this differs:
//
//   - With InitProvisionedConcurrency Init may take minutes, and
//     platform.initReport comes before the first invocation's platform.start.
//   - With InitSnapStart, Start is the publishing of a version, and ends with a
//     snapshot: the stopped processes. The first Invoke restores it:
//     restoreStart with a new instance id, restoreRuntimeDone, restoreReport,
//     initReport, and then the invocation, whose report has restoreDurationMs.
//     Connections to the APIs are closed at the restore, except a pending next.
//     Those to elsewhere stay open, the clock does not jump, and runtime hooks
//     are not there. A memory image cannot be copied here: a sandbox restores
//     its snapshot once. After a reset, Init runs as on demand.
//   - Processes of SnapStart functions have no keys in their environment, but
//     the credentials endpoint, which Config.Credentials and
//     Config.CredentialsLifetime govern.
//   - With InitManagedInstances, Invoke may be called many times at once; an
//     invocation begins when fewer than Config.MaxConcurrency run and the
//     function has an idle worker. Nothing is frozen, no extension may register for
//     INVOKE, telemetry is of schema 2025-01-29 and has no platform.runtimeDone,
//     lines are JSON and name no request, and platform.report comes with the
//     answer. A time-out ends an invocation for its caller only. A crash ends
//     the environment: SHUTDOWN with reason failure at once, and
//     ErrEnvironmentEnded for later calls. Config.DropUnanswered has a
//     batch of telemetry dropped that is ready before the last one is answered.
//
// # What is not
//
// Memory, disk and network are the machine's: nothing enforces
// Config.MemoryMB, /tmp is the machine's own, and CPU is not throttled. All is
// one sandbox: nothing starts a second environment, or replaces one.
//
// # Inside
//
// sandbox.go has the state and its rules; init.go, invoke.go and shutdown.go
// are the phases; server.go, runtimeapi.go, extensionsapi.go and telemetryapi.go
// are the HTTP handlers; relay.go makes events of what happens, events.go has
// their shapes, and delivery.go sends them; process.go and pipe.go run the
// processes and read what they write, with what only Linux has in sys_linux.go;
// environ.go is their environment. mode.go has what the modes are and their
// defaults; managed.go is the invocation of managed instances, snapstart.go the
// restore, credentials.go the credentials endpoint, and streaming.go how
// responses come. report.go has what is reported to the user, config.go what the
// user sets.
package lambdasim
