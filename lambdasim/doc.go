// Package lambdasim is a local AWS Lambda for tests of functions and extensions. It starts
// a real function process and real extension processes, and serves the Runtime API
// (2018-06-01), the Extensions API (2020-01-01) and the Telemetry API (2022-07-01) to them:
// with telemetry, freezes, time-outs, resets and the shutdown. It needs no root, no
// container and no entry in the hosts file, and listens on 127.0.0.1 only. It needs Linux:
// elsewhere it compiles, and [Start] returns an error that matches errors.ErrUnsupported.
//
// # Use
//
//	sandbox, err := lambdasim.Start(ctx, lambdasim.Config{
//		Function:   lambdasim.Process{Path: "bin/bootstrap"},
//		Extensions: []lambdasim.Process{{Path: "bin/my-extension"}},
//		OnEvent:    func(e lambdasim.Event) { ... }, // telemetry that was emitted
//	})
//	result, err := sandbox.Invoke(ctx, []byte(`{"hello":"world"}`))
//	report, err := sandbox.Shutdown(ctx)
//
// [Start] runs Init, [Sandbox.Invoke] an invocation, and [Sandbox.Shutdown] the shutdown.
// Each returns when its phase is over. Then the environment is frozen: every process group
// gets SIGSTOP. [Sandbox.InvokeRequest] is an Invoke with a client context, a tenant or a
// streamed response.
//
// Build an extension as for AWS Lambda. It registers under the base name of its file, and
// subscribes with http://sandbox.localdomain:PORT. The sandbox dials 127.0.0.1 at that
// port. So the extension may listen on 127.0.0.1 or on all addresses, but not on the name,
// which does not resolve here.
//
// To check an extension, use:
//
//   - Config.OnEvent: every telemetry event in order, with the bytes that are sent and the
//     invocation that it belongs to.
//   - Config.OnDelivered: the events that an extension has accepted. If you kill it, it is
//     not responsible for others.
//   - [Result] and [ProcessReport]: how long an extension prolonged an invocation, its
//     start-up times, memory and CPU.
//   - Config.OnNotice: every step of the sandbox, for a log.
//
// To disturb it, use Config.RewritePost, [Sandbox.SignalExtension],
// [Sandbox.SignalFunction], and the settings for telemetry in [Config].
//
// # What it does as AWS Lambda does
//
// The behaviour is that of the AWS documentation, of the source of
// aws-lambda-runtime-interface-emulator (which shares code with AWS Lambda, but has no
// telemetry for ordinary functions), and of public reports. If none of them describes a
// case, a comment in the code says what the package does. What you may not expect:
//
//   - Init ends when the runtime and every extension have called next. An invocation ends
//     when the runtime and every extension that registered for INVOKE have called next. The
//     client has its answer earlier: Result.ResponseLatency.
//   - platform.report is emitted when the invocation has ended, so extensions get it in the
//     next invocation or in the shutdown. In the shutdown it may come after the SHUTDOWN
//     event: an extension that exits at once misses it, and ProcessReport.UndeliveredEvents
//     counts it.
//   - A batch of telemetry is sent when it is full or when its time-out has passed. Each
//     extension gets one POST at a time, again and in order until it answers 2xx. The
//     time-out does not run while the environment is frozen, and begins anew at a thaw.
//   - A record larger than maxBytes is split over two or more POSTs, none of which is valid
//     JSON. This was observed on AWS Lambda. The split is at the byte that fills maxBytes,
//     even inside an escape sequence or a character.
//   - A line that is written before the runtime calls next usually comes before
//     platform.runtimeDone. AWS Lambda does not guarantee that; Config.LateLines makes lines
//     come later. The order between standard output and standard error is not kept.
//   - A time-out, a crash of the runtime or of an extension, and exit/error reset the
//     environment: SHUTDOWN with reason timeout or failure, and new processes for the next
//     invocation.
//   - An extension gets no SIGTERM. The shutdown's deadline counts from the start of the
//     phase, and the runtime uses its part of the time first.
//   - If the runtime streams its response, so does the sandbox. platform.runtimeDone comes
//     after the end of the response, and the span responseLatency ends at its first byte.
//     A client gets the stream if it asks for one: Request.Stream.
//
// # Modes
//
// Config.InitializationType chooses the mode. The list above is about [InitOnDemand].
//
// With [InitProvisionedConcurrency]:
//
//   - Init may take minutes.
//   - platform.initReport comes before the first invocation's platform.start.
//
// With [InitSnapStart]:
//
//   - Start publishes a version. It ends with a snapshot: the processes are stopped. The
//     first Invoke restores it: platform.restoreStart with a new instance id,
//     restoreRuntimeDone, restoreReport, initReport, and then the invocation, whose report
//     has restoreDurationMs.
//   - The restore closes connections to the APIs, except those that wait for next.
//     Connections to other servers stay open, and the clock does not jump. There are no
//     runtime hooks.
//   - Memory cannot be copied, so a sandbox restores its snapshot once. After a reset, Init
//     runs as on demand.
//   - Processes have no keys in their environment, but the credentials endpoint:
//     Config.Credentials and Config.CredentialsLifetime.
//
// With [InitManagedInstances]:
//
//   - Invoke may be called many times at once. An invocation begins when the function has
//     an idle worker and fewer than Config.MaxConcurrency invocations run.
//   - Nothing is frozen, and no extension may register for INVOKE.
//   - Telemetry has the schema 2025-01-29 and no platform.runtimeDone. Lines are JSON and
//     name no request. platform.report comes with the answer.
//   - A time-out ends an invocation for its caller only. A crash ends the environment:
//     SHUTDOWN with reason failure at once, and [ErrEnvironmentEnded] for later calls.
//   - Config.DropUnanswered drops a batch of telemetry that is ready before the last one is
//     answered.
//
// # Limits
//
// Memory, disk and network are this machine's: Config.MemoryMB is not enforced, /tmp is the
// machine's own, and CPU is not throttled. A sandbox is one environment: it does not scale
// out.
package lambdasim
