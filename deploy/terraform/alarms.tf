# Alarms and the dashboard. docs/operations.md says what to do about an alarm.

locals {
  topic = var.alarm_topic_arn == "" ? null : [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "throttled" {
  alarm_name          = "${var.name}-throttled"
  alarm_description   = "Kinesis refuses records because a shard is full. Kinetel keeps them and sends them again. If it goes on, give the stream more shards, or the functions another KINETEL_PARTITION_KEY."
  namespace           = "AWS/Kinesis"
  metric_name         = "WriteProvisionedThroughputExceeded"
  dimensions          = { StreamName = aws_kinesis_stream.stream.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.topic
  ok_actions          = local.topic
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "iterator_age" {
  alarm_name          = "${var.name}-iterator-age"
  alarm_description   = "A consumer of the stream is more than ${var.iterator_age_minutes} minutes behind. After its retention the stream drops records, also unread ones."
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.iterator_age_minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.topic
  ok_actions          = local.topic
  tags                = local.tags

  metric_query {
    id          = "age"
    return_data = false

    metric {
      namespace   = "AWS/Kinesis"
      metric_name = "GetRecords.IteratorAgeMilliseconds"
      dimensions  = { StreamName = aws_kinesis_stream.stream.name }
      stat        = "Maximum"
      period      = 300
    }
  }

  metric_query {
    id          = "minutes"
    label       = "Minutes behind"
    expression  = "age / 60000"
    return_data = true
  }
}

# One query over all functions, also over later ones.
resource "aws_cloudwatch_metric_alarm" "loss" {
  alarm_name          = "${var.name}-loss"
  alarm_description   = "Events of a function were lost. kinetel.loss events in the stream say which and why. Only functions with emf in KINETEL_REPORT are watched."
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.topic
  ok_actions          = local.topic
  tags                = local.tags

  metric_query {
    id          = "lost"
    label       = "Events lost"
    expression  = "SELECT SUM(EventsLost) FROM SCHEMA(Kinetel, FunctionName)"
    period      = 300
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "settings" {
  alarm_name          = "${var.name}-settings"
  alarm_description   = "A function has a KINETEL_ variable with a value that cannot be used, and runs with another value. Its kinetel.environment event and Kinetel's log say which. Only functions with emf in KINETEL_REPORT are watched."
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.topic
  ok_actions          = local.topic
  tags                = local.tags

  metric_query {
    id          = "replaced"
    label       = "Settings replaced"
    expression  = "SELECT MAX(SettingsReplaced) FROM SCHEMA(Kinetel, FunctionName)"
    period      = 300
    return_data = true
  }
}
