package config

// PartitionKey selects which records share a partition key, and so a shard.
type PartitionKey string

const (
	// PartitionByEnvironment keeps an environment's records in one shard, unless that is
	// full.
	PartitionByEnvironment PartitionKey = "environment"
	// PartitionByRequest gives the lines of each request records of their own. Lines
	// of no request go into the environment's.
	PartitionByRequest PartitionKey = "request"
	// PartitionByFunction sends all records of a function to one shard.
	PartitionByFunction PartitionKey = "function"
	// PartitionRandom spreads records evenly. There is no order.
	PartitionRandom PartitionKey = "random"
)

// Colocated reports whether the records of one key should be in one shard even if that is
// full. An environment's need not be: its sequence numbers show their order.
func (k PartitionKey) Colocated() bool { return k == PartitionByRequest || k == PartitionByFunction }

// Spool selects what is written to disk.
type Spool string

const (
	// SpoolOverflow is what does not fit in memory, and what cannot be sent before
	// the environment ends.
	SpoolOverflow Spool = "overflow"
	// SpoolOff is nothing.
	SpoolOff Spool = "off"
	// SpoolAlways is everything, before it is acknowledged to Lambda.
	SpoolAlways Spool = "always"
)

// Report selects where the extension's own figures go.
type Report struct {
	Events bool // into the stream: kinetel.invocation, kinetel.report
	EMF    bool // to standard output, in CloudWatch's embedded metric format
}
