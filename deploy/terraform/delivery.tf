# Delivery to S3 with tables for Athena: docs/consumers.md.

locals {
  delivers    = var.delivery != "none"
  partitioned = var.delivery == "s3-partitioned"
}

resource "aws_s3_bucket" "delivery" {
  count = local.delivers ? 1 : 0

  bucket_prefix = "${var.name}-delivery-"
  tags          = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "delivery" {
  count = local.delivers ? 1 : 0

  bucket = aws_s3_bucket.delivery[0].bucket

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "delivery" {
  count = local.delivers ? 1 : 0

  bucket                  = aws_s3_bucket.delivery[0].bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "delivery" {
  count = local.delivers ? 1 : 0

  bucket = aws_s3_bucket.delivery[0].bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "delivery" {
  count = local.delivers ? 1 : 0

  bucket = aws_s3_bucket.delivery[0].bucket

  # AWS bills the parts of failed uploads, and lists them nowhere.
  rule {
    id     = "expire"
    status = "Enabled"

    filter {}

    dynamic "expiration" {
      for_each = var.expiration_days > 0 ? [var.expiration_days] : []

      content {
        days = expiration.value
      }
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_policy" "delivery" {
  count = local.delivers ? 1 : 0

  bucket = aws_s3_bucket.delivery[0].bucket

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.delivery[0].arn, "${aws_s3_bucket.delivery[0].arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.delivery[0].arn, "${aws_s3_bucket.delivery[0].arn}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = 1.2 } }
      },
    ]
  })

  # S3 refuses two changes of a bucket's access at a time.
  depends_on = [aws_s3_bucket_public_access_block.delivery]
}

# --- Firehose ---------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "delivery" {
  count = local.delivers ? 1 : 0

  name              = "/aws/kinesisfirehose/${var.name}"
  retention_in_days = 30
  tags              = local.tags
}

resource "aws_cloudwatch_log_stream" "delivery" {
  count = local.delivers ? 1 : 0

  log_group_name = aws_cloudwatch_log_group.delivery[0].name
  name           = "delivery"
}

resource "aws_iam_role" "delivery" {
  count = local.delivers ? 1 : 0

  name_prefix = "${var.name}-delivery-"
  description = "Firehose reads Kinetel's stream and writes to the bucket"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "firehose.amazonaws.com" }
      Action    = "sts:AssumeRole"
      # No Firehose of another account.
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "delivery" {
  count = local.delivers ? 1 : 0

  name = "delivery"
  role = aws_iam_role.delivery[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Read"
          Effect   = "Allow"
          Action   = ["kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"]
          Resource = aws_kinesis_stream.stream.arn
        },
        {
          Sid      = "Bucket"
          Effect   = "Allow"
          Action   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
          Resource = aws_s3_bucket.delivery[0].arn
        },
        {
          Sid      = "Objects"
          Effect   = "Allow"
          Action   = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
          Resource = "${aws_s3_bucket.delivery[0].arn}/*"
        },
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = "logs:PutLogEvents"
          Resource = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${aws_cloudwatch_log_group.delivery[0].name}:log-stream:${aws_cloudwatch_log_stream.delivery[0].name}"
        },
      ],
      local.own_key ? [{
        Sid      = "Decrypt"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = local.key
        Condition = { StringEquals = {
          "kms:ViaService"                        = local.via
          "kms:EncryptionContext:aws:kinesis:arn" = aws_kinesis_stream.stream.arn
        } }
      }] : [],
    )
  })
}

resource "aws_kinesis_firehose_delivery_stream" "delivery" {
  count = local.delivers ? 1 : 0

  name        = var.name
  destination = "extended_s3"
  tags        = local.tags

  kinesis_source_configuration {
    kinesis_stream_arn = aws_kinesis_stream.stream.arn
    role_arn           = aws_iam_role.delivery[0].arn
  }

  extended_s3_configuration {
    bucket_arn = aws_s3_bucket.delivery[0].arn
    role_arn   = aws_iam_role.delivery[0].arn
    # The day comes first, so that the table kinetel reads both kinds of delivery.
    prefix              = "kinetel/!{timestamp:yyyy/MM/dd}/${local.partitioned ? "faas_name=!{partitionKeyFromQuery:faas_name}/" : ""}"
    error_output_prefix = "kinetel-errors/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/"
    buffering_interval  = var.buffer_seconds
    buffering_size      = 64 # partitions need at least 64
    # Without partitions each record is a gzip member, and members one after the other
    # are a gzip file: Firehose must add nothing between them.
    compression_format = local.partitioned ? "GZIP" : "UNCOMPRESSED"
    file_extension     = local.partitioned ? null : ".gz"

    dynamic "dynamic_partitioning_configuration" {
      for_each = local.partitioned ? [300] : []

      content {
        enabled        = true
        retry_duration = dynamic_partitioning_configuration.value
      }
    }

    dynamic "processing_configuration" {
      for_each = local.partitioned ? [true] : []

      content {
        enabled = true

        processors {
          type = "RecordDeAggregation"

          parameters {
            parameter_name  = "SubRecordType"
            parameter_value = "JSON"
          }
        }

        processors {
          type = "MetadataExtraction"

          parameters {
            parameter_name  = "MetadataExtractionQuery"
            parameter_value = "{faas_name: .resource.\"faas.name\"}"
          }

          parameters {
            parameter_name  = "JsonParsingEngine"
            parameter_value = "JQ-1.6"
          }
        }

        # Deaggregation removes the line feeds between lines.
        processors {
          type = "AppendDelimiterToRecord"
        }
      }
    }

    cloudwatch_logging_options {
      enabled         = true
      log_group_name  = aws_cloudwatch_log_group.delivery[0].name
      log_stream_name = aws_cloudwatch_log_stream.delivery[0].name
    }
  }

  depends_on = [aws_iam_role_policy.delivery]
}
