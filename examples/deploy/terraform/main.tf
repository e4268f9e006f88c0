# Everything that a function needs, by Terraform or OpenTofu: a stream, the layer, the
# permission to write, and a function that uses them. Build the layers first, in the
# root of the repository:
#
#	make package
#	cd examples/deploy/terraform
#	terraform init
#	terraform apply
#
# Your account already has the stack of deploy/cloudformation? Then use its layer,
# policy and stream instead: take their ARNs from the SSM parameters with
# data "aws_ssm_parameter", and keep only the role and the function.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4"
    }
  }
}

variable "architecture" {
  description = "of the function and of the layer: x86_64 or arm64"
  type        = string
  default     = "x86_64" # as Lambda's own

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "Must be x86_64 or arm64."
  }
}

variable "dist" {
  description = "the folder that make package wrote"
  type        = string
  default     = "../../../dist"
}

# --- the stream ------------------------------------------------------------------

resource "aws_kinesis_stream" "telemetry" {
  name             = "telemetry"
  retention_period = 24 # hours
  encryption_type  = "KMS"
  kms_key_id       = "alias/aws/kinesis"

  stream_mode_details {
    stream_mode = "ON_DEMAND"
  }
}

# --- the layer -------------------------------------------------------------------

locals {
  # The files are named as Go names architectures.
  zip = "${var.dist}/kinesis-telemetry-extension-${var.architecture == "x86_64" ? "amd64" : "arm64"}.zip"
}

resource "aws_lambda_layer_version" "kinetel" {
  layer_name               = "kinesis-telemetry-extension-${var.architecture}"
  description              = "Kinetel: sends Lambda telemetry to Kinesis"
  license_info             = "Apache-2.0"
  filename                 = local.zip
  source_code_hash         = filebase64sha256(local.zip)
  compatible_architectures = [var.architecture]
  skip_destroy             = true # keeps old versions, so that you can roll back
}

# --- the permission --------------------------------------------------------------

data "aws_iam_policy_document" "write" {
  statement {
    actions   = ["kinesis:PutRecord", "kinesis:PutRecords"]
    resources = [aws_kinesis_stream.telemetry.arn]
  }
}

resource "aws_iam_policy" "write" {
  name_prefix = "kinetel-"
  description = "Lets a function send its telemetry to Kinetel's stream"
  policy      = data.aws_iam_policy_document.write.json
}

# --- a function ------------------------------------------------------------------

data "aws_iam_policy_document" "lambda" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "orders" {
  name_prefix        = "orders-"
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_iam_role_policy_attachment" "telemetry" {
  role       = aws_iam_role.orders.name
  policy_arn = aws_iam_policy.write.arn
}

# Kinetel reports problems with its own configuration in the function's log.
data "aws_iam_policy_document" "log" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.orders.arn}:*"]
  }
}

resource "aws_iam_role_policy" "log" {
  name   = "log"
  role   = aws_iam_role.orders.name
  policy = data.aws_iam_policy_document.log.json
}

resource "aws_cloudwatch_log_group" "orders" {
  name              = "/aws/lambda/orders"
  retention_in_days = 1 # the stream has everything
}

data "archive_file" "orders" {
  type        = "zip"
  output_path = "${path.module}/orders.zip"

  source {
    filename = "index.mjs"
    content  = "export const handler = async () => { console.log(\"hello\"); return \"done\"; };\n"
  }
}

resource "aws_lambda_function" "orders" {
  function_name    = "orders"
  role             = aws_iam_role.orders.arn
  runtime          = "nodejs22.x"
  architectures    = [var.architecture]
  handler          = "index.handler"
  filename         = data.archive_file.orders.output_path
  source_code_hash = data.archive_file.orders.output_base64sha256
  layers           = [aws_lambda_layer_version.kinetel.arn]

  environment {
    variables = {
      KINETEL_STREAM_ARN = aws_kinesis_stream.telemetry.arn
      KINETEL_TAGS       = "env=prod,team=payments"
    }
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.orders.name
  }

  depends_on = [aws_iam_role_policy_attachment.telemetry, aws_iam_role_policy.log]
}

output "stream_name" {
  description = "The stream, for a reader"
  value       = aws_kinesis_stream.telemetry.name
}

output "function_name" {
  value = aws_lambda_function.orders.function_name
}
