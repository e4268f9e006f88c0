# The tables for Athena. Both kinds of delivery have kinetel. kinetel_by_function reads
# only the objects of the functions that a query names; a query must name them.

locals {
  columns = [
    { name = "seq", type = "bigint" },
    { name = "time", type = "string" },
    { name = "type", type = "string" },
    { name = "severity", type = "string" },
    { name = "requestid", type = "string" },
    { name = "traceid", type = "string" },
    { name = "part", type = "int" },
    { name = "parts", type = "int" },
    { name = "body", type = "string" },
    { name = "extra", type = "string" },
    { name = "resource", type = "map<string,string>" },
  ]

  # Hive folds names of columns to lower case.
  members = { requestid = "requestId", traceid = "traceId" }

  tables = merge(
    local.delivers ? { kinetel = {
      description = "Events of all functions, by the day on which Firehose received them"
      keys        = ["day"]
      folder      = "$${day}/"
      projection  = {}
    } } : {},
    local.partitioned ? { kinetel_by_function = {
      description = "Events by the day on which Firehose received them, and by function"
      keys        = ["day", "faas_name"]
      folder      = "$${day}/faas_name=$${faas_name}/"
      projection  = { "projection.faas_name.type" = "injected" }
    } } : {},
  )
}

resource "aws_glue_catalog_database" "delivery" {
  count = local.delivers ? 1 : 0

  name        = var.database_name
  description = "Telemetry of Lambda functions"
}

resource "aws_glue_catalog_table" "delivery" {
  for_each = local.tables

  name          = each.key
  database_name = aws_glue_catalog_database.delivery[0].name
  description   = each.value.description
  table_type    = "EXTERNAL_TABLE"

  dynamic "partition_keys" {
    for_each = each.value.keys

    content {
      name = partition_keys.value
      type = "string"
    }
  }

  parameters = merge({
    EXTERNAL                       = "TRUE"
    "projection.enabled"           = "true"
    "projection.day.type"          = "date"
    "projection.day.format"        = "yyyy/MM/dd"
    "projection.day.range"         = "${var.first_day},NOW"
    "projection.day.interval"      = "1"
    "projection.day.interval.unit" = "DAYS"
    "storage.location.template"    = "s3://${aws_s3_bucket.delivery[0].bucket}/kinetel/${each.value.folder}"
  }, each.value.projection)

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.delivery[0].bucket}/kinetel/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    dynamic "columns" {
      for_each = local.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }

    ser_de_info {
      serialization_library = "org.openx.data.jsonserde.JsonSerDe"
      parameters            = merge({ "case.insensitive" = "false" }, { for column, member in local.members : "mapping.${column}" => member })
    }
  }
}
