package audit_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/record"
)

// The records of an environment give the same verdict in every format.
func TestTheVerdictIsTheSameInEveryFormat(t *testing.T) {
	environment := formattest.Environment(false)
	var text []byte
	var lines []format.Line
	for _, seq := range []int{1, 2, 5, 6, 6, 9, 10, 11} {
		members := fmt.Sprintf(`"type":"function","body":"line %d"`, seq)
		switch seq {
		case 9:
			members = `"type":"platform.logsDropped","body":{"reason":"slow","droppedRecords":3,"droppedBytes":100}`
		case 10:
			members = `"type":"kinetel.loss","body":{"firstSeq":3,"lastSeq":7,"count":2,"bytes":9,"reason":"buffer-full"}`
		case 11:
			members = `"type":"kinetel.report","body":` + string(finalReport("", 1, true, 0).Body)
		}
		line := formattest.Line(t, seq, members)
		lines = append(lines, line)
		text = append(text, line.Text...)
	}
	want := audit.Counts{
		Events: 7, Duplicates: 1, Missing: 4, Explained: 2, Unexplained: 2,
		Lost: map[string]uint64{"buffer-full": 2}, LambdaDropped: audit.Dropped{Times: 1, Records: 3, Bytes: 100},
	}
	for name, data := range map[string][]byte{
		"ndjson":     text,
		"otlp":       otlp.AppendLogs(nil, environment, lines),
		"cloudwatch": cloudwatch.Append(nil, environment, "", lines),
		"kpl":        kpl.Append(nil, nil, "key", lines),
	} {
		t.Run(name, func(t *testing.T) {
			var arrived []record.Event
			for e, err := range record.Events(bytes.NewReader(data)) {
				if err != nil {
					t.Fatal(err)
				}
				arrived = append(arrived, e)
			}
			got := reportOf(t, audit.Options{}, arrived...)
			if len(got.Environments) != 1 || !got.Environments[0].Ended {
				t.Fatalf("environments: %+v", got.Environments)
			}
			if diff := cmp.Diff(want, got.Totals.Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}
