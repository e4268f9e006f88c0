// Package fault reads what a user wants to go wrong in a local run, such as
// kinesis:throttle=0.3 or extension:kill@5s, and makes it happen.
package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
)

// What can fail.
const (
	Kinesis   = "kinesis"
	Extension = "extension"
	Function  = "function"
)

// The kinds of faults.
const (
	throttle = "throttle" // a share of the records
	failure  = "error"    // a share of the requests
	latency  = "latency"
	down     = "down"
	kill     = "kill"
)

// Syntax is for the help of a flag.
const Syntax = "kinesis:throttle=SHARE, kinesis:error=SHARE, kinesis:latency=DURATION or kinesis:down, each at any time or @FROM..TO after the start; extension:kill[=NAME]@TIME or function:kill@TIME"

// Fault is one thing that goes wrong.
type Fault struct {
	Target string // Kinesis, Extension or Function
	Name   string // of the extension; empty: all
	// From and To are times since the start of the run. To is 0 if the fault does not end.
	// A kill is done at From.
	From, To time.Duration

	kind  string
	share float64
	delay time.Duration
}

// Parse reads one fault.
func Parse(text string) (f Fault, err error) {
	what, at, timed := strings.Cut(text, "@")
	target, kind, _ := strings.Cut(what, ":")
	kind, value, valued := strings.Cut(kind, "=")
	f.Target, f.kind = target, kind
	switch target + ":" + kind {
	case "kinesis:throttle", "kinesis:error":
		f.share, err = strconv.ParseFloat(value, 64)
		if err != nil || !(f.share >= 0 && f.share <= 1) { // NaN is refused, too
			err = fmt.Errorf("%q is no share: it must be from 0 to 1, as in kinesis:%s=0.3", value, kind)
		}
	case "kinesis:latency":
		f.delay, err = duration(value)
	case "kinesis:down", "function:kill":
		if valued {
			err = fmt.Errorf("%s has no value", what)
		}
	case "extension:kill":
		f.Name = value
	default:
		err = fmt.Errorf("it must be one of %s", Syntax)
	}
	if err == nil && timed {
		from, to, ends := strings.Cut(at, "..")
		f.From, err = duration(from)
		if err == nil && ends {
			f.To, err = duration(to)
		}
		if err == nil && ends && f.To <= f.From {
			err = fmt.Errorf("%s ends before it begins", at)
		}
	}
	switch {
	case err != nil || kind != kill:
	case !timed:
		err = fmt.Errorf("when? write %s@5s for five seconds after the start", what)
	case f.To != 0:
		err = errors.New("a kill has one time")
	}
	if err != nil {
		return f, fmt.Errorf("--fault %s: %w", text, err)
	}
	return f, nil
}

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("is negative")
	}
	if err != nil {
		return 0, fmt.Errorf("%q is no duration, such as 200ms or 5s", text)
	}
	return d, nil
}

// Interceptor returns what the faults of Kinesis do to requests; nil if there are none.
// elapsed is the time since the start. The same seed and the same order of requests have
// the same faults.
func Interceptor(faults []Fault, seed uint64, elapsed func() time.Duration) kinesissim.Interceptor {
	var all []kinesissim.Interceptor
	for _, f := range faults {
		if f.Target == Kinesis {
			all = append(all, f.during(f.interceptor(seed), elapsed))
		}
	}
	if all == nil {
		return nil
	}
	return func(r *kinesissim.Request) *kinesissim.Answer {
		answers := make([]*kinesissim.Answer, len(all))
		for i, intercept := range all {
			answers[i] = intercept(r)
		}
		return kinesissim.Combine(answers...)
	}
}

func (f Fault) interceptor(seed uint64) kinesissim.Interceptor {
	switch f.kind {
	case throttle:
		return kinesissim.FailRecordsAtRandom(seed, f.share, "ProvisionedThroughputExceededException")
	case failure:
		return kinesissim.AnswerAtRandom(seed, f.share, kinesissim.Refuse(500, "InternalFailure", "kinetel run --fault kinesis:error"))
	case latency:
		return kinesissim.AnswerAll(kinesissim.Delay(f.delay))
	default: // down
		return kinesissim.AnswerAll(kinesissim.ResetConnection())
	}
}

// during limits an interceptor to the fault's time.
func (f Fault) during(intercept kinesissim.Interceptor, elapsed func() time.Duration) kinesissim.Interceptor {
	return func(r *kinesissim.Request) *kinesissim.Answer {
		if now := elapsed(); now < f.From || f.To > 0 && now >= f.To {
			return nil
		}
		return intercept(r)
	}
}
