package lambdasim

import (
	"fmt"
	"os"
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

// Result describes an invocation that has ended.
type Result struct {
	RequestID string
	// Payload is the client's answer: the function's response, or an error
	// object if FunctionError is set.
	Payload []byte
	// FunctionError is "" or "Unhandled", as in the Invoke API. If an extension
	// exceeds the time-out after the runtime has answered, only Status shows it,
	// because the client has its answer already.
	FunctionError string
	Status        Status
	ErrorType     string // as in platform.report; empty on success

	// ColdStart is true for the first invocation after an Init, which took
	// InitDuration. SuppressedInit means that Init ran inside this invocation,
	// because the environment had been reset.
	ColdStart      bool
	SuppressedInit bool
	InitDuration   time.Duration
	// RestoreDuration is how long the restore of a SnapStart function's snapshot
	// took, before Start. Only the first invocation has it.
	RestoreDuration time.Duration

	// Start is when the runtime and the extensions got the event, and Deadline
	// the deadline in it.
	Start, Deadline time.Time
	// ResponseLatency is the time from Start until the client had its answer.
	ResponseLatency time.Duration
	// FirstByte is the time from Start to the first byte of the response. It is
	// shorter than ResponseLatency if the function streams its response.
	FirstByte time.Duration
	// Duration is the time from Start to RuntimeDone.
	Duration time.Duration
	// RuntimeDone is when the runtime called next, or failed. With Managed
	// Instances it is when the client had its answer.
	RuntimeDone time.Time
	// ExtensionsDone is when the last extension called next, or RuntimeDone if
	// that was later.
	ExtensionsDone time.Time
	// Held is ExtensionsDone - RuntimeDone: how long the extensions prolonged the
	// invocation. HeldBy has it for each extension that registered for INVOKE;
	// with Managed Instances there are none.
	Held   time.Duration
	HeldBy map[string]time.Duration
	// Billed is in whole milliseconds, and includes Init on a cold start. It is 0
	// with Managed Instances, which are not billed by duration.
	Billed time.Duration
	// MaxMemoryMB is the peak resident memory of all processes together.
	MaxMemoryMB int

	// FunctionLines counts the function events that were emitted before Invoke
	// returned, and FunctionBytes the bytes of these lines, without newlines.
	// Neither counts lines that come later because of Config.LateBy. With Managed
	// Instances both are 0, because nothing says which invocation a line is of.
	FunctionLines int
	FunctionBytes int64
}

// InitError explains why Init failed.
type InitError struct {
	// Phase is "init", or "invoke" for an Init inside an invocation.
	Phase string
	// Type is one of AWS Lambda's error types, such as Extension.Crash.
	Type string
	// Timeout means that Init took too long.
	Timeout bool
	// Detail explains the error to a person.
	Detail string
	// Processes describes the processes of this Init.
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
	// Generation is the number of the Init that started the process, from 1. A
	// reset leads to another Init.
	Generation int
	Kind       ProcessKind
	Name       string // the file's base name
	Path       string
	PID        int

	// ExecAt is the time just before the process was started. The three durations
	// are from ExecAt to the arrival of a request, or 0 if the request did not
	// come.
	ExecAt     time.Time
	Registered time.Duration // extensions
	Subscribed time.Duration // extensions, if the subscription was accepted
	FirstNext  time.Duration
	// FirstNextCPU is the processor time of an extension at its first next.
	FirstNextCPU time.Duration

	Exited   bool
	ExitCode int       // -1 while it runs, and if a signal ended it
	Signal   os.Signal // the signal that ended it, or nil
	// Killed means that the sandbox killed the process, and KilledAtDeadline that
	// it did so because the shutdown took too long.
	Killed, KilledAtDeadline bool
	// ShutdownTook is the time from the SHUTDOWN event (SIGTERM for the function)
	// to the end of the process.
	ShutdownTook time.Duration

	// MaxRSSKiB is the peak resident memory of the process and its descendants, the sum
	// of VmHWM of /proc/PID/status, which is read at the end of each phase. (The peak in rusage includes the parent's at
	// the start.)
	MaxRSSKiB int64
	// CPU is the processor time so far. UserCPU and SystemCPU are known when the
	// process has exited.
	CPU, UserCPU, SystemCPU time.Duration

	// DeliveredEvents, DeliveredBytes and Posts count the telemetry that the
	// extension accepted, and FailedPosts the POSTs that it did not.
	// UndeliveredEvents waited when the extension ended. DroppedEvents were dropped
	// because of Config.TelemetryBacklogBytes or Config.DropUnanswered;
	// platform.logsDropped reports them, unless the extension ended before.
	DeliveredEvents, UndeliveredEvents, DroppedEvents int
	DeliveredBytes                                    int64
	Posts, FailedPosts                                int
}

// ShutdownReport describes a shutdown.
type ShutdownReport struct {
	// Took is the time from the start of the shutdown to the end of the last
	// process.
	Took time.Duration
	// Processes describes the processes that ran when the shutdown began. The
	// function is the last one.
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

// Delivery is a batch of telemetry that an extension has accepted, because it answered
// the POST with 2xx (over TCP: because the batch was written), or a batch that was
// dropped. An extension never acknowledged an event that is in no Delivery of
// Config.OnDelivered.
type Delivery struct {
	// Extension and Generation name the process, as in ProcessReport.
	Extension  string
	Generation int
	// Events are the numbers of the events (Event.Number), in the order in which
	// they were sent. An event that is split over several POSTs is in the Delivery
	// of the last one. Config.RewritePost does not change this list.
	Events []uint64
	// FailedPosts counts the POSTs of the same batch that came before and failed.
	// If the extension did not answer one, it may have the events twice.
	FailedPosts int
}

// NoticeKind is the subject of a Notice.
type NoticeKind string

// The subjects of notices.
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
	NoticeShutdownSent     NoticeKind = "shutdown-sent" // the extension got the event
	NoticeShutdownDone     NoticeKind = "shutdown-done"
	NoticeFreeze           NoticeKind = "freeze"
	NoticeThaw             NoticeKind = "thaw"
	NoticeRestore          NoticeKind = "restore"     // of a SnapStart function's snapshot
	NoticeCredentials      NoticeKind = "credentials" // a process read them
	NoticeExec             NoticeKind = "exec"
	NoticeExit             NoticeKind = "exit"
	NoticeKill             NoticeKind = "kill"
	NoticeRegistered       NoticeKind = "registered"
	NoticeSubscribed       NoticeKind = "subscribed"
	NoticeRefused          NoticeKind = "refused" // an API answered with an error
	NoticeDelivered        NoticeKind = "delivered"
	NoticeDeliveryError    NoticeKind = "delivery-error"
	NoticeUndelivered      NoticeKind = "undelivered" // events that waited when their extension ended
)

// Notice is a step of the sandbox.
type Notice struct {
	Time time.Time
	Kind NoticeKind
	// Process is the base name of the process that did it, if any.
	Process   string
	RequestID string
	Detail    string
	// Events counts the events of a delivery.
	Events int
	// PID is the process that NoticeExec is about.
	PID int
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
