# From nothing to a function with telemetry: the stream, the layers from dist, the
# policy, alarms and a dashboard, and a function that uses them.
#
#	make package
#	cd deploy/terraform/examples/complete
#	terraform init
#	terraform apply

terraform {
  required_version = ">= 1.9"

  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4"
    }
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

# The region and the credentials come from where the AWS CLI finds them.
provider "aws" {}

variable "dist" {
  description = "The folder that make package wrote."
  type        = string
  default     = "../../../../dist"
}

variable "function_name" {
  description = "The function's name."
  type        = string
  default     = "kinetel-sample"
}

module "kinetel" {
  source = "../.."

  layer_folder = var.dist
}

# --- The function -----------------------------------------------------------------

resource "aws_cloudwatch_log_group" "sample" {
  name              = "/aws/lambda/${var.function_name}"
  retention_in_days = 1 # the stream has everything
  tags              = { application = "kinetel" }
}

resource "aws_iam_role" "sample" {
  name_prefix = "kinetel-sample-"
  description = "Kinetel's sample function"
  tags        = { application = "kinetel" }

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "sample" {
  role       = aws_iam_role.sample.name
  policy_arn = module.kinetel.policy_arn
}

# Kinetel reports problems with its own configuration in the function's log.
resource "aws_iam_role_policy" "log" {
  name = "log"
  role = aws_iam_role.sample.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.sample.arn}:*"
    }]
  })
}

data "archive_file" "sample" {
  type        = "zip"
  output_path = "${path.module}/sample.zip"
  source_file = "${path.module}/index.py"
}

resource "aws_lambda_function" "sample" {
  function_name    = var.function_name
  description      = "Says hello, and Kinetel sends it to the stream"
  runtime          = "python3.13"
  architectures    = ["arm64"]
  handler          = "index.handler"
  memory_size      = 128
  timeout          = 10
  role             = aws_iam_role.sample.arn
  layers           = [module.kinetel.layer_arm_arn]
  filename         = data.archive_file.sample.output_path
  source_code_hash = data.archive_file.sample.output_base64sha256
  tags             = { application = "kinetel" }

  environment {
    variables = {
      KINETEL_STREAM_ARN  = module.kinetel.stream_arn
      KINETEL_REPORT      = "events,emf" # for the right half of the dashboard
      KINETEL_COMPRESSION = "gzip"
    }
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.sample.name
  }

  # Without them its first lines are lost.
  depends_on = [aws_iam_role_policy.log, aws_iam_role_policy_attachment.sample]
}

# --- Outputs ----------------------------------------------------------------------

output "stream_name" {
  description = "The stream, for a reader"
  value       = module.kinetel.stream_name
}

output "sample_function_name" {
  description = "The sample function; invoke it with {} or {\"fail\":true} and read the stream"
  value       = aws_lambda_function.sample.function_name
}
