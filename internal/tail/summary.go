package tail

import (
	"cmp"
	"strconv"

	"github.com/kinetel/kinetel/internal/cost"
	"github.com/kinetel/kinetel/record"
)

// lambdaPrices returns the prices of a GB-second in dollars by host.arch.
func lambdaPrices() map[string]float64 {
	prices := map[string]float64{}
	built, err := cost.ReadPrices(cost.BuiltIn)
	if err != nil {
		return prices // a test of package cost reads the file
	}
	for arch, name := range map[string]string{"amd64": "lambda.x86_64", "arm64": "lambda.arm64"} {
		if p := built.Prices[name].Price; p != nil {
			prices[arch] = *p
		}
	}
	return prices
}

// appendSummary appends what an invocation took.
func (p *textPrinter) appendSummary(dst []byte, e *record.Event, inv *record.Invocation) []byte {
	m := &inv.Metrics
	dst = append(dst, "END "...)
	dst = appendEscaped(dst, []byte(cmp.Or(inv.Status, "status unknown")))
	if inv.ErrorType != "" {
		dst = appendEscaped(append(dst, ' '), []byte(inv.ErrorType))
	}
	dst = append(dst, ' ')
	dst = append(appendNumber(dst, m.DurationMs, 2), " ms"...)
	if m.BilledDurationMs > 0 {
		dst = append(appendNumber(append(dst, ", billed "...), m.BilledDurationMs, 0), " ms"...)
	}
	if m.MaxMemoryUsedMB > 0 {
		dst = appendNumber(append(dst, ", memory "...), m.MaxMemoryUsedMB, 0)
		dst = append(appendNumber(append(dst, " of "...), m.MemorySizeMB, 0), " MB"...)
	}
	if inv.ColdStart != nil && *inv.ColdStart {
		dst = append(dst, ", cold start"...)
		if ms := m.InitDurationMs + m.RestoreDurationMs; ms > 0 {
			dst = append(appendNumber(append(dst, ' '), ms, 0), " ms"...)
		}
	}
	if n := inv.LeftOut.Total(); n > 0 {
		dst = append(strconv.AppendInt(append(dst, ", "...), n, 10), " events left out"...)
	}
	dst = p.appendPrice(dst, p.seen.of(e).arch, m)
	if name := e.Resource["faas.name"]; name != "" {
		dst = appendEscaped(append(dst, ", "...), []byte(name))
	}
	return dst
}

// appendPrice appends the price of the billed duration. If the architecture is not known
// yet, it is at most that of the dearer one.
func (p *textPrinter) appendPrice(dst []byte, arch string, m *record.Metrics) []byte {
	price, ok := p.prices[arch]
	sign := ""
	if !ok {
		price, sign = max(p.prices["amd64"], p.prices["arm64"]), "≤"
	}
	if price == 0 || m.BilledDurationMs == 0 || m.MemorySizeMB == 0 {
		return dst
	}
	const perDollar = 1e6
	dst = append(append(dst, ", "...), sign...)
	dst = strconv.AppendFloat(dst, m.BilledDurationMs/1000*m.MemorySizeMB/1024*price*perDollar, 'g', 3, 64)
	return append(dst, " µ$"...)
}

// appendNumber appends a number with up to so many decimals.
func appendNumber(dst []byte, n float64, decimals int) []byte {
	begin := len(dst)
	dst = strconv.AppendFloat(dst, n, 'f', decimals, 64)
	if decimals > 0 {
		for dst[len(dst)-1] == '0' && len(dst) > begin {
			dst = dst[:len(dst)-1]
		}
		if dst[len(dst)-1] == '.' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}
