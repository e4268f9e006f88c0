package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/kinetel/kinetel/internal/kinesis"
)

// checkNetwork checks the way to the endpoint of Kinesis, and the clock.
func (d *diagnosis) checkNetwork(ctx context.Context) {
	a := d.config.AWS
	endpoint := a.Endpoint
	if endpoint == "" && d.Clients != nil {
		endpoint = d.Clients.endpoint
	}
	if endpoint == "" && a.Region != "" {
		endpoint = kinesis.Endpoint(a.Region, a.UseFIPS, a.UseDualStack)
	}
	u, err := url.Parse(endpoint)
	if endpoint == "" || err != nil {
		return // the settings have the error
	}
	addresses, lookup := d.LookupHost(ctx, u.Hostname())
	first, err := d.measure(ctx, endpoint)
	if err != nil {
		// A proxy may look up the name. But if nothing answers, the name may be the cause.
		d.unreachable(u.Host, errors.Join(lookup, err))
		return
	}
	name := u.Host
	if lookup == nil && len(addresses) > 0 && addresses[0] != u.Hostname() {
		name = fmt.Sprintf("%s (%s)", u.Host, addresses[0])
	}
	again, err := d.measure(ctx, endpoint) // on the same connection, as a rule
	if err != nil {
		again = first
	}
	switch hold := d.config.MaxHold; {
	case d.Function == "" && hold > 0 && again.roundTrip > hold:
		d.add(Warning, fmt.Sprintf("%s answers in %s, and KINETEL_MAX_HOLD is %s", name, round(again.roundTrip), hold),
			"holds end before Kinesis has the telemetry", "use a stream in the function's region, or raise KINETEL_MAX_HOLD")
	default:
		d.ok("%s answers this machine in %s, and in %s on a new connection", name, round(again.roundTrip), round(first.roundTrip))
	}
	if d.function != nil && d.function.VpcConfig != nil && value(d.function.VpcConfig.VpcId) != "" {
		d.skip("whether the function reaches Kinesis", fmt.Errorf("it is in the VPC %s, and this machine is not", value(d.function.VpcConfig.VpcId)),
			"docs/security.md#a-function-in-a-vpc-without-internet")
	}
	d.clock(first.skew)
}

// unreachable adds that no answer came from the endpoint.
func (d *diagnosis) unreachable(host string, err error) {
	if d.Function != "" {
		d.skip("the network", fmt.Errorf("%s does not answer this machine: %s; the function may reach it", host, explain(err)), "")
		return
	}
	d.add(Error, fmt.Sprintf("%s does not answer: %s", host, explain(err)), "no telemetry reaches the stream",
		"a function in a VPC needs an endpoint for Kinesis or a NAT gateway: docs/security.md#a-function-in-a-vpc-without-internet")
}

// clock adds how far the clock is from Kinesis', by the header Date, in seconds.
func (d *diagnosis) clock(skew time.Duration) {
	const fix = "synchronize the clock with NTP"
	switch off := skew.Abs(); {
	case skew == unknownSkew:
		d.skip("the clock", errors.New("the answer has no valid header Date"), "")
	case off < 30*time.Second:
		d.ok("the clock of this machine agrees with the endpoint's")
	case off > 4*time.Minute && d.Function == "":
		d.add(Error, fmt.Sprintf("the clock of this machine is wrong by %s", off.Round(time.Second)), "AWS refuses requests whose time is wrong by five minutes", fix)
	default:
		d.add(Warning, fmt.Sprintf("the clock of this machine is wrong by %s", off.Round(time.Second)), "times of what you compare with the stream are wrong", fix)
	}
}

type measurement struct{ roundTrip, skew time.Duration }

// unknownSkew means that the answer does not say what time it is.
const unknownSkew = time.Duration(-1 << 63)

// measure sends a request that is not signed; whatever the answer is, it comes from the
// endpoint, or from a proxy between.
func (d *diagnosis) measure(ctx context.Context, endpoint string) (m measurement, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, http.NoBody)
	if err != nil {
		return m, err
	}
	began := time.Now()
	answer, err := d.httpClient().Do(request)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // without the URL, which may have a password
		}
		return m, err
	}
	defer answer.Body.Close()
	m.roundTrip = time.Since(began)
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)) // so that the connection can be used again
	m.skew = unknownSkew
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		m.skew = began.Add(m.roundTrip / 2).Sub(date)
	}
	return m, nil
}

// round rounds a time for people.
func round(t time.Duration) time.Duration {
	return cmp.Or(t.Round(time.Millisecond), t.Round(10*time.Microsecond))
}
