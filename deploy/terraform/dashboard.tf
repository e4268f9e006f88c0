# The dashboard: left the stream, right Kinetel's own metrics (emf in KINETEL_REPORT).

locals {
  stream = aws_kinesis_stream.stream.name
  search = "SEARCH('{Kinetel,FunctionName} MetricName=\"%s\"', '%s', 300)"

  stream_widgets = [
    {
      title = "Bytes and records in"
      stat  = "Sum"
      metrics = [
        ["AWS/Kinesis", "IncomingBytes", "StreamName", local.stream],
        ["AWS/Kinesis", "IncomingRecords", "StreamName", local.stream, { yAxis = "right" }],
      ]
    },
    {
      title   = "Throttled writes"
      stat    = "Sum"
      metrics = [["AWS/Kinesis", "WriteProvisionedThroughputExceeded", "StreamName", local.stream]]
    },
    {
      title   = "Iterator age"
      stat    = "Maximum"
      metrics = [["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", local.stream]]
    },
    {
      title = "Latency of PutRecords"
      metrics = [
        ["AWS/Kinesis", "PutRecords.Latency", "StreamName", local.stream, { stat = "Average" }],
        ["AWS/Kinesis", "PutRecords.Latency", "StreamName", local.stream, { stat = "Maximum" }],
      ]
    },
    {
      title = "Shards that PROVISIONED would need, twice of what is written"
      stat  = "Sum"
      metrics = [
        ["AWS/Kinesis", "IncomingBytes", "StreamName", local.stream, { id = "bytes", visible = false }],
        ["AWS/Kinesis", "IncomingRecords", "StreamName", local.stream, { id = "records", visible = false }],
        [{ id = "shards", label = "shards", expression = "CEIL(2 * MAX([bytes / PERIOD(bytes) / 1048576, records / PERIOD(records) / 1000]))" }],
      ]
    },
  ]

  function_widgets = [
    {
      title   = "Events lost"
      metrics = [[{ id = "lost", expression = format(local.search, "EventsLost", "Sum") }]]
    },
    {
      title   = "Events shipped"
      metrics = [[{ id = "shipped", expression = format(local.search, "EventsShipped", "Sum") }]]
    },
    {
      title   = "Records sent again"
      metrics = [[{ id = "retried", expression = format(local.search, "RecordsRetried", "Sum") }]]
    },
    {
      title = "Latency of PutRecords as functions see it"
      metrics = [
        [{ id = "put50", label = "p50", expression = format(local.search, "PutLatency", "p50") }],
        [{ id = "put99", label = "p99", expression = format(local.search, "PutLatency", "p99") }],
        [{ id = "putmax", label = "max", expression = format(local.search, "PutLatency", "Maximum") }],
      ]
    },
    {
      title = "How long invocations were held"
      metrics = [
        [{ id = "held50", label = "p50", expression = format(local.search, "Held", "p50") }],
        [{ id = "held99", label = "p99", expression = format(local.search, "Held", "p99") }],
        [{ id = "heldmax", label = "max", expression = format(local.search, "Held", "Maximum") }],
      ]
    },
    {
      title = "Buffer in use, and bytes on disk"
      metrics = [
        [{ id = "buffer", expression = format(local.search, "BufferUse", "Maximum") }],
        [{ id = "spooled", expression = format(local.search, "SpooledBytes", "Maximum"), yAxis = "right" }],
      ]
    },
    {
      title   = "Settings replaced"
      metrics = [[{ id = "replaced", expression = format(local.search, "SettingsReplaced", "Maximum") }]]
    },
  ]
}

resource "aws_cloudwatch_dashboard" "dashboard" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = concat(
      [for i, widget in local.stream_widgets : {
        type       = "metric"
        x          = 0
        y          = 6 * i
        width      = 12
        height     = 6
        properties = merge({ region = local.region, view = "timeSeries", period = 60 }, widget)
      }],
      [for i, widget in local.function_widgets : {
        type       = "metric"
        x          = 12
        y          = 6 * i
        width      = 12
        height     = 6
        properties = merge({ region = local.region, view = "timeSeries", period = 300 }, widget)
      }],
    )
  })
}
