package lambdasim

import (
	"fmt"
	"syscall"
	"time"
)

// Status is how an invocation ended, in the terms of the Telemetry API.
type Status string

// How an invocation ended.
const (
	StatusSuccess Status = "success"
	StatusError   Status = "error"   // the function reported an error
	StatusFailure Status = "failure" // the runtime or an extension exited
	StatusTimeout Status = "timeout"
)

// Result is what is known of an invocation when it ended.
type Result struct {
	RequestID string
	// Payload is the client's answer: the function's response, or an error
	// object where FunctionError is set.
	Payload []byte
	// FunctionError is "" or "Unhandled", as in the Invoke API. Where an
	// extension overran the time-out after the runtime had answered, the client
	// keeps the answer that it got: Status shows the time-out.
	FunctionError string
	Status        Status
	ErrorType     string // as in platform.report; empty on success

	// ColdStart is set on the first invocation after an Init, InitDuration then
	// says how long that took. SuppressedInit means that Init ran inside this
	// invocation, because the one before was reset.
	ColdStart      bool
	SuppressedInit bool
	InitDuration   time.Duration
	// RestoreDuration is how long it took to restore the snapshot of a SnapStart
	// function, before Start; only on the first invocation.
	RestoreDuration time.Duration

	// Start is when the event was given to the runtime and the extensions, and
	// Deadline the deadline in that event.
	Start, Deadline time.Time
	// ResponseLatency is from Start to the moment that the client had its
	// answer.
	ResponseLatency time.Duration
	// FirstByte is from Start to the first byte of the response. It is earlier
	// than ResponseLatency where the function streams its response.
	FirstByte time.Duration
	// Duration is what the runtime took: from Start to RuntimeDone.
	Duration time.Duration
	// RuntimeDone is when the runtime called next, or failed. With Managed
	// Instances it is when the client had its answer.
	RuntimeDone time.Time
	// ExtensionsDone is when the last extension called next, and not before
	// RuntimeDone.
	ExtensionsDone time.Time
	// Held is ExtensionsDone - RuntimeDone: what the extensions cost beyond
	// the function. HeldBy has it for each extension subscribed to INVOKE; with
	// Managed Instances there is none.
	Held   time.Duration
	HeldBy map[string]time.Duration
	// Billed is in whole milliseconds, with Init on a cold start. Managed
	// Instances are not billed by duration.
	Billed time.Duration
	// MaxMemoryMB is the peak resident memory of all processes together.
	MaxMemoryMB int

	// FunctionLines and FunctionBytes count the function events emitted until
	// Invoke returned, and the lines' bytes without newlines. What comes later,
	// by Config.LateBy, is counted nowhere. With Managed Instances the
	// invocation of a line is not known, and they are 0.
	FunctionLines int
	FunctionBytes int64
}

// InitError is why Init failed.
type InitError struct {
	// Phase is "init", or "invoke" for an Init inside an invocation.
	Phase string
	// Type is one of AWS Lambda's error types, such as Extension.Crash.
	Type string
	// Timeout is set where Init took too long.
	Timeout bool
	// Detail is what happened, for people.
	Detail string
	// Processes are the reports of the processes of this Init.
	Processes []ProcessReport

	payload []byte
}

func (e *InitError) Error() string {
	return fmt.Sprintf("lambdasim: init failed: %s: %s", e.Type, e.Detail)
}

// ProcessKind distinguishes the function from the extensions.
type ProcessKind string

// The kinds of processes.
const (
	KindFunction  ProcessKind = "function"
	KindExtension ProcessKind = "extension"
)

// ProcessReport describes one process that the sandbox started.
type ProcessReport struct {
	// Generation counts the Inits of the sandbox from 1; a reset begins a new
	// one.
	Generation int
	Kind       ProcessKind
	Name       string // the file's base name
	Path       string
	PID        int

	// ExecAt is taken immediately before the process is started. The times
	// below it count from there; each is taken as the first thing when the
	// request came in. Zero: it never happened.
	ExecAt     time.Time
	Registered time.Duration // extensions
	Subscribed time.Duration // extensions: an accepted telemetry subscription
	FirstNext  time.Duration

	Exited   bool
	ExitCode int            // -1 while running, and where a signal ended it
	Signal   syscall.Signal // that ended it, or 0
	// Killed means that the sandbox killed it; KilledAtDeadline, that it did so
	// because the shutdown's time was over.
	Killed, KilledAtDeadline bool
	// ShutdownTook is from the SHUTDOWN event (SIGTERM for the function) to the
	// process's end.
	ShutdownTook time.Duration

	// MaxRSSKiB is the peak resident memory: the process's own high-water mark,
	// read at the end of each phase. (rusage's is no use: a child begins with
	// its parent's.)
	MaxRSSKiB int64
	// CPU is what it used so far. User and system time are known once it
	// exited.
	CPU, UserCPU, SystemCPU time.Duration

	// DeliveredEvents, DeliveredBytes and Posts count the telemetry that the
	// extension accepted; FailedPosts those that it did not. UndeliveredEvents
	// were still waiting when it ended. DroppedEvents never waited, because too
	// many did: each is in a platform.logsDropped, unless that was too late.
	DeliveredEvents, UndeliveredEvents, DroppedEvents int
	DeliveredBytes                                    int64
	Posts, FailedPosts                                int
}

// ShutdownReport is what Shutdown found.
type ShutdownReport struct {
	// Took is from the start of the shutdown phase to the end of the last
	// process.
	Took time.Duration
	// Processes are those that were alive when the phase began; the function is
	// the last.
	Processes []ProcessReport
}

// Extension returns the report of the extension with the given name.
func (r ShutdownReport) Extension(name string) (ProcessReport, bool) {
	for _, p := range r.Processes {
		if p.Kind == KindExtension && p.Name == name {
			return p, true
		}
	}
	return ProcessReport{}, false
}

// Delivery is a batch of telemetry that an extension has accepted, by answering
// its POST with 2xx (over TCP: what was written).
type Delivery struct {
	// Extension is the name of it, and Generation the Init that its process is
	// of, as in ProcessReport.
	Extension  string
	Generation int
	// Events are the numbers of the events, in the order in which they were
	// sent. An event that was split over several POSTs is among them when the last
	// of these was accepted. What Config.Deliver made of the batch does not
	// matter.
	Events []uint64
	// FailedPosts are those that were made before, with the same bodies, and
	// that the extension did not accept: it refused, or did not answer, and may
	// then have taken the events already.
	FailedPosts int
}

// NoticeKind is what a Notice is about.
type NoticeKind string

// What a Notice is about.
const (
	NoticeInitStart   NoticeKind = "init-start"
	NoticeInitDone    NoticeKind = "init-done"
	NoticeInitFailed  NoticeKind = "init-failed"
	NoticeInvokeStart NoticeKind = "invoke-start"
	NoticeResponse    NoticeKind = "response" // the client has its answer
	NoticeRuntimeDone NoticeKind = "runtime-done"
	NoticeInvokeDone  NoticeKind = "invoke-done"
	NoticeReset       NoticeKind = "reset"
	// NoticeEnvironmentEnded: a process of a managed instance crashed.
	NoticeEnvironmentEnded NoticeKind = "environment-ended"
	NoticeShutdownStart    NoticeKind = "shutdown-start"
	NoticeShutdownSent     NoticeKind = "shutdown-sent" // the event was handed to the extension
	NoticeShutdownDone     NoticeKind = "shutdown-done"
	NoticeFreeze           NoticeKind = "freeze"
	NoticeThaw             NoticeKind = "thaw"
	NoticeRestore          NoticeKind = "restore"     // of a SnapStart function's snapshot
	NoticeCredentials      NoticeKind = "credentials" // were given to a process
	NoticeExec             NoticeKind = "exec"
	NoticeExit             NoticeKind = "exit"
	NoticeKill             NoticeKind = "kill"
	NoticeRegistered       NoticeKind = "registered"
	NoticeSubscribed       NoticeKind = "subscribed"
	NoticeRefused          NoticeKind = "refused" // an API answered with an error
	NoticeDelivered        NoticeKind = "delivered"
	NoticeDeliveryError    NoticeKind = "delivery-error"
	NoticeUndelivered      NoticeKind = "undelivered" // events left when their subscriber ended
)

// Notice is something that the sandbox did or saw.
type Notice struct {
	Time time.Time
	Kind NoticeKind
	// Process is the base name of the process that it is about, if any.
	Process   string
	RequestID string
	Detail    string
	// Events counts the events of a delivery.
	Events int
}

func (n Notice) String() string {
	text := n.Time.Format("15:04:05.000 ") + string(n.Kind)
	if n.Process != "" {
		text += " " + n.Process
	}
	if n.RequestID != "" {
		text += " " + n.RequestID
	}
	if n.Detail != "" {
		text += ": " + n.Detail
	}
	return text
}
