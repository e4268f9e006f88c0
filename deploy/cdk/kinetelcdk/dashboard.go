package kinetelcdk

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// What you can write to a shard in a second (Kinesis quotas).
const (
	shardBytes   = 1 << 20
	shardRecords = 1000
)

// TelemetryDashboardProps configures what to show.
type TelemetryDashboardProps struct {
	// Stream is required.
	Stream ITelemetryStream
	// HeadroomPercent is how much more than is written the suggested number of shards can
	// take: 100 by default (docs/operations.md has the reason), at most 400; negative for
	// none.
	HeadroomPercent int
	// Tags are added to the dashboard.
	Tags map[string]string
}

// TelemetryDashboard shows the stream, and what Kinetel reports about itself in all
// functions of the account and region that have "emf" in KINETEL_REPORT.
type TelemetryDashboard struct {
	// Construct is the parent of the dashboard.
	Construct constructs.Construct
	Dashboard awscloudwatch.Dashboard
}

// NewTelemetryDashboard makes the dashboard.
func NewTelemetryDashboard(scope constructs.Construct, id string, props *TelemetryDashboardProps) *TelemetryDashboard {
	var p TelemetryDashboardProps
	if props != nil {
		p = *props
	}
	c := checkNew(scope, id)
	if p.Stream == nil {
		c.problem("Stream is not set; the dashboard needs one")
	}
	switch {
	case p.HeadroomPercent == 0:
		p.HeadroomPercent = 100
	case p.HeadroomPercent > 400:
		c.problem("HeadroomPercent is %d; it must be at most 400", p.HeadroomPercent)
	}
	c.done()

	d := &TelemetryDashboard{Construct: constructs.NewConstruct(scope, &id)}
	d.Dashboard = awscloudwatch.NewDashboard(d.Construct, jsii.String("Dashboard"), nil)
	bytes := ofStream(p.Stream, "IncomingBytes", sum, "bytes", fine)
	records := ofStream(p.Stream, "IncomingRecords", sum, "records", fine)
	d.Dashboard.AddWidgets(
		graph("Written", []awscloudwatch.IMetric{bytes}, records),
		graph("Throttled writes", []awscloudwatch.IMetric{
			ofStream(p.Stream, "WriteProvisionedThroughputExceeded", sum, "throttled records", fine),
		}),
		graph("Consumers behind (iterator age, ms)", []awscloudwatch.IMetric{
			ofStream(p.Stream, "GetRecords.IteratorAgeMilliseconds", maximum, "slowest", fine),
		}),
	)
	d.Dashboard.AddWidgets(
		graph("PutRecords in Kinesis (ms)", []awscloudwatch.IMetric{
			ofStream(p.Stream, "PutRecords.Latency", average, "average", fine),
			ofStream(p.Stream, "PutRecords.Latency", maximum, "slowest", fine),
		}),
		graph("PutRecords as functions see it (ms)", percentiles("PutLatency")),
		graph("Shards for provisioned mode", []awscloudwatch.IMetric{shards(bytes, records, max(p.HeadroomPercent, 0))}),
	)
	d.Dashboard.AddWidgets(
		graph("Events lost, by function", []awscloudwatch.IMetric{ofFunctions("EventsLost", sum, "")}),
		graph("Events shipped, by function", []awscloudwatch.IMetric{ofFunctions("EventsShipped", sum, "")}),
		graph("Records sent again, by function", []awscloudwatch.IMetric{ofFunctions("RecordsRetried", sum, "")}),
	)
	d.Dashboard.AddWidgets(
		graph("Invocations held (ms)", percentiles("Held")),
		graph("Buffer in use (%)", []awscloudwatch.IMetric{ofFunctions("BufferUse", maximum, "")}),
		graph("On disk (bytes)", []awscloudwatch.IMetric{ofFunctions("SpooledBytes", maximum, "")}),
	)
	d.Dashboard.AddWidgets(
		graph("Settings replaced, by function", []awscloudwatch.IMetric{ofFunctions("SettingsReplaced", maximum, "")}),
	)
	tag(d.Construct, p.Tags)
	return d
}

// graph is a third of a row.
func graph(title string, left []awscloudwatch.IMetric, right ...awscloudwatch.IMetric) awscloudwatch.GraphWidget {
	return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
		Title:     &title,
		Width:     jsii.Number(8),
		Left:      &left,
		Right:     &right,
		LeftYAxis: &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)},
	})
}

// shards suggests how many a provisioned stream would need for what was
// written: by bytes or by records, whichever is more.
func shards(bytes, records awscloudwatch.IMetric, headroomPercent int) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(fmt.Sprintf("CEIL(MAX([bytes/PERIOD(bytes)/%d, records/PERIOD(records)/%d]) * %g)",
			shardBytes, shardRecords, 1+float64(headroomPercent)/100)),
		Label:        jsii.String(fmt.Sprintf("shards, with %d%% headroom", headroomPercent)),
		UsingMetrics: &map[string]awscloudwatch.IMetric{"bytes": bytes, "records": records},
		Period:       duration(fine),
	})
}
