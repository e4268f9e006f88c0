package kinetelcdk

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/internal/emf"
)

// Periods of metrics. Those of Kinesis and of Kinetel have data once a minute.
const (
	fine   = time.Minute
	coarse = 5 * time.Minute
)

const (
	sum     = "Sum"
	average = "Average"
	maximum = "Maximum"
)

// dimension is the only dimension of Kinetel's metrics.
const dimension = "FunctionName"

func duration(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}

// ofStream is a metric that Kinesis has for a stream.
func ofStream(stream ITelemetryStream, name, statistic, label string, period time.Duration) awscloudwatch.Metric {
	return stream.Metric(&name, &awscloudwatch.MetricOptions{Statistic: &statistic, Label: &label, Period: duration(period)})
}

// overFunctions is a metric of Kinetel over all functions, including functions that you
// create later.
func overFunctions(metric, label string) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(fmt.Sprintf("SELECT %s FROM SCHEMA(%s, %s)", metric, emf.Namespace, dimension)),
		Label:      &label,
		Period:     duration(coarse),
	})
}

// ofFunctions is a metric of Kinetel, with a line for each function that has it. CloudWatch appends the function's name to the label.
func ofFunctions(name, statistic, label string) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(fmt.Sprintf(`SEARCH('{%s,%s} MetricName="%s"', '%s', %d)`, emf.Namespace, dimension, name, statistic, int(fine.Seconds()))),
		Label:      &label,
		Period:     duration(fine),
	})
}

// percentiles are those of a metric that has many values a minute: CloudWatch computes
// them over all environments of a function.
func percentiles(name string) []awscloudwatch.IMetric {
	return []awscloudwatch.IMetric{ofFunctions(name, "p50", "p50"), ofFunctions(name, "p99", "p99"), ofFunctions(name, maximum, "max")}
}
