package record

// Types of Lambda's events. Lambda may add others.
const (
	TypeFunction  = "function"  // a line of the function
	TypeExtension = "extension" // a line of an extension

	TypePlatformInitStart             = "platform.initStart"
	TypePlatformInitRuntimeDone       = "platform.initRuntimeDone"
	TypePlatformInitReport            = "platform.initReport"
	TypePlatformRestoreStart          = "platform.restoreStart" // of SnapStart, as the next two
	TypePlatformRestoreRuntimeDone    = "platform.restoreRuntimeDone"
	TypePlatformRestoreReport         = "platform.restoreReport"
	TypePlatformStart                 = "platform.start" // an invocation begins
	TypePlatformRuntimeDone           = "platform.runtimeDone"
	TypePlatformReport                = "platform.report"
	TypePlatformFault                 = "platform.fault"
	TypePlatformExtension             = "platform.extension"
	TypePlatformTelemetrySubscription = "platform.telemetrySubscription"
	TypePlatformLogsDropped           = "platform.logsDropped"
)

// Types of Kinetel's own events. Later versions may add others that begin with "kinetel.".
const (
	TypeEnvironment = "kinetel.environment" // see Event.Environment
	TypeInvocation  = "kinetel.invocation"  // see Event.Invocation
	TypeSpan        = "kinetel.span"        // an invocation, as it is sent as a span
	TypeInit        = "kinetel.init"        // see Event.Init
	TypeLoss        = "kinetel.loss"        // see Event.Loss
	TypeLimit       = "kinetel.limit"       // see Event.Limit
	TypeReport      = "kinetel.report"      // see Event.Report
	TypeUnparsed    = "kinetel.unparsed"    // text from Lambda that is not an event
)

// Severities of log lines.
const (
	SeverityTrace = "TRACE"
	SeverityDebug = "DEBUG"
	SeverityInfo  = "INFO"
	SeverityWarn  = "WARN"
	SeverityError = "ERROR"
	SeverityFatal = "FATAL"
)

// Reasons of a [Loss]. Later versions may add others.
const (
	LossBufferFull   = "buffer-full"   // newer events needed the memory
	LossSpoolFull    = "spool-full"    // newer events needed the space on disk
	LossSpoolCorrupt = "spool-corrupt" // the data on disk was corrupt
	LossOversize     = "oversize"      // too large, even in parts
	LossRejected     = "rejected"      // Kinesis always rejects the record
	LossShutdown     = "shutdown"      // the environment ended before they were sent
)

// Decisions of sampling in an [Invocation]. All but the last keep its lines. Later versions
// may add others.
const (
	SampledShare   = "share"   // it is in the share
	SampledError   = "error"   // the function failed, or logged an error
	SampledTimeout = "timeout" // it timed out
	SampledCold    = "cold"    // it waited for an init or a restore
	SampledSlow    = "slow"    // it took long
	SampledMarked  = "marked"  // a line has the mark
	SampledBuffer  = "buffer"  // there was no memory to wait for a decision
	SampledEnd     = "end"     // the environment ended before a decision
	SampledNot     = "out"     // its lines are left out
)
