package kinetelcdk

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/internal/emf"
)

// What metrics of CloudWatch are looked at: those of Kinesis have one value a
// minute, and so have Kinetel's own.
const (
	fine   = time.Minute
	coarse = 5 * time.Minute
)

const (
	sum     = "Sum"
	average = "Average"
	maximum = "Maximum"
)

// dimension is the one that Kinetel's metrics have.
const dimension = "FunctionName"

func duration(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}

// ofStream is a metric that Kinesis has of a stream.
func ofStream(stream awskinesis.IStream, name, statistic, label string, period time.Duration) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace:     jsii.String("AWS/Kinesis"),
		MetricName:    &name,
		DimensionsMap: &map[string]*string{"StreamName": stream.StreamName()},
		Statistic:     &statistic,
		Label:         &label,
		Period:        duration(period),
	})
}

// overFunctions is a metric of Kinetel's over all functions, also those that are yet
// to come.
func overFunctions(metric, label string) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(fmt.Sprintf("SELECT %s FROM SCHEMA(%s, %s)", metric, emf.Namespace, dimension)),
		Label:      &label,
		Period:     duration(coarse),
	})
}

// ofFunctions is a metric of Kinetel's, one line for each function that has it.
func ofFunctions(name, statistic string, period time.Duration) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(fmt.Sprintf(`SEARCH('{%s,%s} MetricName="%s"', '%s', %d)`, emf.Namespace, dimension, name, statistic, int(period.Seconds()))),
		Label:      jsii.String(""), // the function's name
		Period:     duration(period),
	})
}
