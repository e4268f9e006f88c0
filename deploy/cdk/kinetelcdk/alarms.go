package kinetelcdk

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// maxIteratorAge is the longest that Kinesis can keep records.
const maxIteratorAge = maxRetention * time.Hour

// TelemetryAlarmsProps configures the alarms.
type TelemetryAlarmsProps struct {
	// Stream is required.
	Stream ITelemetryStream
	// IteratorAge is how far consumers may be behind: 10 minutes by default, whole
	// seconds, less than the retention of the stream.
	IteratorAge time.Duration
	// Topic gets the alarms, and their ends. Without one they only change their state.
	Topic awssns.ITopic
	// Tags are added to the alarms.
	Tags map[string]string
}

// TelemetryAlarms are alarms for telemetry that is late or lost, and for settings that
// Kinetel replaced. A stream without writers or readers causes no alarm.
type TelemetryAlarms struct {
	// Construct is the parent of the alarms.
	Construct constructs.Construct
	// Throttled: Kinesis refused writes because a shard was full. Kinetel sends the
	// records again, but should not have to for long.
	Throttled awscloudwatch.Alarm
	// Behind: the slowest consumer is IteratorAge behind, for 15 minutes.
	Behind awscloudwatch.Alarm
	// Lost: events of a function were lost. It watches only functions with "emf" in
	// KINETEL_REPORT.
	Lost awscloudwatch.Alarm
	// SettingsReplaced: a function has a setting that cannot be used, and runs with
	// another one. It watches only functions with "emf" in KINETEL_REPORT.
	SettingsReplaced awscloudwatch.Alarm
}

// NewTelemetryAlarms makes the alarms.
func NewTelemetryAlarms(scope constructs.Construct, id string, props *TelemetryAlarmsProps) *TelemetryAlarms {
	var p TelemetryAlarmsProps
	if props != nil {
		p = *props
	}
	c := checkNew(scope, id)
	if p.Stream == nil {
		c.problem("Stream is not set; the alarms need one")
	}
	if p.IteratorAge == 0 {
		p.IteratorAge = 10 * time.Minute
	}
	if p.IteratorAge < time.Second || p.IteratorAge >= maxIteratorAge || p.IteratorAge%time.Second != 0 {
		c.problem("IteratorAge is %s; it must be whole seconds, from 1s to less than the stream keeps records", p.IteratorAge)
	}
	c.done()

	a := &TelemetryAlarms{Construct: constructs.NewConstruct(scope, &id)}
	alarm := func(id, description string, metric awscloudwatch.IMetric, threshold float64, periods int) awscloudwatch.Alarm {
		alarm := awscloudwatch.NewAlarm(a.Construct, &id, &awscloudwatch.AlarmProps{
			AlarmDescription:   &description,
			Metric:             metric,
			Threshold:          &threshold,
			ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
			EvaluationPeriods:  jsii.Number(periods),
			TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
		})
		if p.Topic != nil {
			topic := awscloudwatchactions.NewSnsAction(p.Topic)
			alarm.AddAlarmAction(topic)
			alarm.AddOkAction(topic)
		}
		return alarm
	}
	a.Throttled = alarm("Throttled", "Kinesis refuses records because a shard is full. Kinetel keeps them and sends them again. If it goes on, give the stream more shards, or the functions another KINETEL_PARTITION_KEY.",
		ofStream(p.Stream, "WriteProvisionedThroughputExceeded", sum, "throttled records", coarse), 0, 1)
	// In minutes, as in the template, which cannot multiply.
	minutes := awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression:   jsii.String("age / 60000"),
		UsingMetrics: &map[string]awscloudwatch.IMetric{"age": ofStream(p.Stream, "GetRecords.IteratorAgeMilliseconds", maximum, "iterator age", coarse)},
		Label:        jsii.String("minutes behind"),
		Period:       duration(coarse),
	})
	a.Behind = alarm("Behind", fmt.Sprintf("A consumer of the stream is more than %g minutes behind. After its retention the stream drops records, also unread ones.", p.IteratorAge.Minutes()),
		minutes, p.IteratorAge.Minutes(), 3)
	a.Lost = alarm("Lost", "Events of a function were lost. kinetel.loss events in the stream say which and why. Only functions with emf in KINETEL_REPORT are watched.",
		overFunctions("SUM(EventsLost)", "events lost"), 0, 1)
	a.SettingsReplaced = alarm("SettingsReplaced", "A function has a KINETEL_ variable with a value that cannot be used, and runs with another value. Its kinetel.environment event and Kinetel's log say which. Only functions with emf in KINETEL_REPORT are watched.",
		overFunctions("MAX(SettingsReplaced)", "settings replaced"), 0, 1)
	tag(a.Construct, p.Tags)
	return a
}
