# A function with Kinetel on it, by Terraform or OpenTofu.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

# What the parameters say at each plan.
data "aws_ssm_parameter" "layer" {
  name = "/telemetry/kinesis/extension/arm64/arn"
}

data "aws_ssm_parameter" "policy" {
  name = "/telemetry/kinesis/runtime/policy/arn"
}

data "aws_ssm_parameter" "stream" {
  name = "/telemetry/kinesis/stream/arn"
}

resource "aws_iam_role" "orders" {
  name_prefix = "orders-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "telemetry" {
  role       = aws_iam_role.orders.name
  policy_arn = nonsensitive(data.aws_ssm_parameter.policy.value)
}

resource "aws_lambda_function" "orders" {
  function_name = "orders"
  role          = aws_iam_role.orders.arn
  runtime       = "nodejs22.x"
  architectures = ["arm64"] # the layer's, too
  handler       = "index.handler"
  filename      = "orders.zip"

  # The values are no secrets; without nonsensitive() plans would hide them.
  layers = [nonsensitive(data.aws_ssm_parameter.layer.value)]

  environment {
    variables = {
      KINETEL_STREAM_ARN = nonsensitive(data.aws_ssm_parameter.stream.value)
      KINETEL_TAGS       = "env=prod,team=payments"
    }
  }

  logging_config {
    log_format = "JSON"
  }
}
