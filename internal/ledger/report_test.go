package ledger_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
)

func TestAReportIsWrittenAsDocumented(t *testing.T) {
	full := ledger.Report{
		Final:       true,
		UptimeMs:    1,
		Received:    ledger.Count{Events: 2, Bytes: 3},
		Own:         4,
		Parts:       5,
		Recovered:   6,
		Shipped:     ledger.Volume{Events: 7, Records: 8, Bytes: 9},
		Lost:        map[ledger.Reason]int64{ledger.SpoolFull: 10, ledger.BufferFull: 11},
		Waiting:     12,
		Spooled:     ledger.Volume{Events: 13, Records: 14, Bytes: 15},
		Requests:    16,
		Retried:     17,
		Unknown:     18,
		PutLatency:  ledger.Quantiles{P50: 19.5, P99: 20.25, Max: 21},
		Held:        ledger.Held{Invocations: 25, Held: 26, Ms: ledger.Quantiles{P50: 27.25, P99: 28.5, Max: 29}},
		LeftOut:     ledger.LeftOut{OwnLog: 30, Redaction: 31, PlatformEvents: 32, Level: 33, Exclude: 34, Include: 35, MaxLines: 36, MaxBytes: 37, SampledOut: 38},
		Redacted:    map[string]int64{"email": 39},
		LogsDropped: ledger.Dropped{Times: 22, Records: 23, Bytes: 24},
	}
	for _, tt := range []struct {
		name   string
		report ledger.Report
		want   string
	}{
		{
			"everything", full,
			`{"final":true,"uptimeMs":1,"received":{"events":2,"bytes":3},"own":4,"parts":5,"recovered":6,` +
				`"shipped":{"events":7,"records":8,"bytes":9},"lost":{"buffer-full":11,"spool-full":10},"waiting":12,` +
				`"spooled":{"events":13,"records":14,"bytes":15},"requests":16,"retried":17,"unknown":18,` +
				`"putLatencyMs":{"p50":19.5,"p99":20.25,"max":21},` +
				`"held":{"invocations":25,"held":26,"ms":{"p50":27.25,"p99":28.5,"max":29}},"leftOut":{"ownLog":30,"redaction":31,"platformEvents":32,"level":33,"exclude":34,"include":35,"maxLines":36,"maxBytes":37,"sampledOut":38},"redacted":{"email":39},"logsDropped":{"times":22,"records":23,"bytes":24}}`,
		},
		{
			"nothing: what is lost is an object all the same",
			ledger.Report{},
			`{"final":false,"uptimeMs":0,"received":{"events":0,"bytes":0},"own":0,"parts":0,"recovered":0,` +
				`"shipped":{"events":0,"records":0,"bytes":0},"lost":{},"waiting":0,` +
				`"spooled":{"events":0,"records":0,"bytes":0},"requests":0,"retried":0,"unknown":0,` +
				`"putLatencyMs":{"p50":0,"p99":0,"max":0},` +
				`"held":{"invocations":0,"held":0,"ms":{"p50":0,"p99":0,"max":0}},"leftOut":{},"logsDropped":{"times":0,"records":0,"bytes":0}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.report.JSON()
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
			var again ledger.Report
			if err := json.Unmarshal(got, &again); err != nil {
				t.Fatal(err)
			}
			if tt.report.Lost == nil {
				tt.report.Lost = map[ledger.Reason]int64{}
			}
			if diff := cmp.Diff(tt.report, again); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

// logsDropped returns a platform.logsDropped with this record.
func logsDropped(record string) *event.Platform {
	return (&event.Event{Record: []byte(record)}).Platform()
}

func TestDroppedAddsUpLambdasEvents(t *testing.T) {
	var d ledger.Dropped
	d.Add(logsDropped(`{"reason":"Consumer seems to have fallen behind","droppedRecords":12,"droppedBytes":3456}`))
	d.Add(logsDropped(`{"droppedRecords":1,"droppedBytes":1e3,"more":{}}`))
	if want := (ledger.Dropped{Times: 2, Records: 13, Bytes: 4456}); d != want {
		t.Errorf("dropped: %+v, want %+v", d, want)
	}
}

func TestDroppedToleratesAnyRecord(t *testing.T) {
	for _, tt := range []struct {
		name, record string
		want         ledger.Dropped
	}{
		{"no record", ``, ledger.Dropped{}},
		{"null", `null`, ledger.Dropped{}},
		{"text", `"dropped"`, ledger.Dropped{}},
		{"a list", `[1,2]`, ledger.Dropped{}},
		{"an object that is cut", `{"droppedRecords":1`, ledger.Dropped{}},
		{"no numbers", `{"reason":"x"}`, ledger.Dropped{}},
		{"one number", `{"droppedBytes":7}`, ledger.Dropped{Bytes: 7}},
		{"text for a number leaves the other one", `{"droppedRecords":"many","droppedBytes":7}`, ledger.Dropped{Bytes: 7}},
		{"an object for a number leaves the other one", `{"droppedRecords":5,"droppedBytes":{"n":7}}`, ledger.Dropped{Records: 5}},
		{"numbers below zero", `{"droppedRecords":-5,"droppedBytes":-7}`, ledger.Dropped{}},
		{"a fraction", `{"droppedRecords":2.9,"droppedBytes":7.0}`, ledger.Dropped{Records: 2, Bytes: 7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := ledger.Dropped{Times: 3, Records: 100, Bytes: 1000}
			d.Add(logsDropped(tt.record))
			if want := (ledger.Dropped{Times: 4, Records: 100 + tt.want.Records, Bytes: 1000 + tt.want.Bytes}); d != want {
				t.Errorf("%s makes %+v, want %+v", tt.record, d, want)
			}
		})
	}
}

func TestDroppedNeverDecreases(t *testing.T) {
	var d ledger.Dropped
	for _, record := range []string{
		`{"droppedRecords":1e300,"droppedBytes":1e300}`,
		`{"droppedRecords":1e999,"droppedBytes":9223372036854775807}`,
		`{"droppedRecords":9223372036854775807,"droppedBytes":18446744073709551615}`,
	} {
		for range 100 {
			before := d
			d.Add(logsDropped(record))
			if d.Records < before.Records || d.Bytes < before.Bytes {
				t.Fatalf("%s makes %+v of %+v", record, d, before)
			}
		}
	}
	if d.Records == 0 || d.Bytes == 0 || d.Times != 300 {
		t.Errorf("dropped: %+v", d)
	}
}
