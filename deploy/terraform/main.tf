# The stream, its key, the policy of functions, and what all files use. The layers,
# the alarms and the delivery to S3 have files of their own.
#
# The resources are those of ../cloudformation/kinetel.yaml. A test compares them.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  own_key   = var.encryption == "customer"
  writers   = length(var.writer_accounts) > 0
  key       = one(aws_kms_key.key[*].arn)
  via       = "kinesis.${local.region}.${data.aws_partition.current.dns_suffix}"
  tags      = { application = "kinetel" }
}

# --- The stream and its key -------------------------------------------------------

resource "aws_kinesis_stream" "stream" {
  name             = var.name
  shard_count      = var.stream_mode == "PROVISIONED" ? var.shard_count : null
  retention_period = var.retention_hours
  encryption_type  = "KMS"
  kms_key_id       = local.own_key ? local.key : "alias/aws/kinesis"
  tags             = local.tags

  stream_mode_details {
    stream_mode = var.stream_mode
  }

  lifecycle {
    prevent_destroy = true # it may have records that nobody has read
  }
}

resource "aws_kms_key" "key" {
  count = local.own_key ? 1 : 0

  description         = "Encrypts Kinetel's stream"
  enable_key_rotation = true
  tags                = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        # Without this statement IAM policies, such as that of functions, would not
        # apply to the key, and nobody could ever change it.
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*" # in the policy of a key, the key
      }],
      local.writers ? [{
        Sid       = "WritersOfOtherAccounts"
        Effect    = "Allow"
        Principal = { AWS = var.writer_accounts }
        Action    = "kms:GenerateDataKey"
        Resource  = "*"
        # The stream refers to this key, so the key cannot refer to the stream.
        Condition = { StringEquals = { "kms:ViaService" = local.via } }
      }] : [],
    )
  })

  lifecycle {
    prevent_destroy = true # the records in the stream are encrypted with it
  }
}

resource "aws_kinesis_resource_policy" "stream" {
  count = local.own_key && local.writers ? 1 : 0

  resource_arn = aws_kinesis_stream.stream.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # The role of each function still needs a policy in its own account.
      Sid       = "WritersOfOtherAccounts"
      Effect    = "Allow"
      Principal = { AWS = var.writer_accounts }
      Action    = ["kinesis:PutRecord", "kinesis:PutRecords"]
      Resource  = aws_kinesis_stream.stream.arn
    }]
  })
}

resource "aws_ssm_parameter" "stream" {
  name        = "${var.parameter_prefix}/stream/arn"
  type        = "String"
  value       = aws_kinesis_stream.stream.arn
  description = "The stream that Kinetel writes to"
  tags        = local.tags
}

# --- The policy of functions ------------------------------------------------------

resource "aws_iam_policy" "write" {
  name_prefix = "${var.name}-"
  path        = "/"
  description = "Lets a function send its telemetry to Kinetel's stream"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Effect   = "Allow"
        Action   = ["kinesis:PutRecord", "kinesis:PutRecords"]
        Resource = aws_kinesis_stream.stream.arn
      }],
      local.own_key ? [{
        Effect   = "Allow"
        Action   = "kms:GenerateDataKey"
        Resource = local.key
        Condition = { StringEquals = {
          "kms:ViaService"                        = local.via
          "kms:EncryptionContext:aws:kinesis:arn" = aws_kinesis_stream.stream.arn
        } }
      }] : [],
    )
  })
}

resource "aws_ssm_parameter" "policy" {
  name        = "${var.parameter_prefix}/runtime/policy/arn"
  type        = "String"
  value       = aws_iam_policy.write.arn
  description = "The managed policy for the role of a function with Kinetel"
  tags        = local.tags
}
