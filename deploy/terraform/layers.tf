# The layers. The files are named as Go names architectures.

locals {
  from_bucket = var.layer_bucket != ""
  from_folder = var.layer_folder != ""
  layers      = local.from_bucket || local.from_folder ? { x86_64 = "amd64", arm64 = "arm64" } : {}
}

# A layer version cannot be changed: another kinetel_version makes a new one. The old
# one stays, so that you can roll back functions that use it.
resource "aws_lambda_layer_version" "layer" {
  for_each = local.layers

  layer_name               = "kinesis-telemetry-extension-${each.key}"
  description              = "Kinetel ${var.kinetel_version}: sends Lambda telemetry to Kinesis"
  license_info             = "Apache-2.0"
  compatible_architectures = [each.key]
  s3_bucket                = local.from_bucket ? var.layer_bucket : null
  s3_key                   = local.from_bucket ? "${var.layer_prefix}${var.kinetel_version}/kinesis-telemetry-extension-${each.value}.zip" : null
  filename                 = local.from_folder ? "${var.layer_folder}/kinesis-telemetry-extension-${each.value}.zip" : null
  source_code_hash         = local.from_folder ? filebase64sha256("${var.layer_folder}/kinesis-telemetry-extension-${each.value}.zip") : null
  skip_destroy             = true
}

resource "aws_ssm_parameter" "layer" {
  for_each = local.layers

  name        = "${var.parameter_prefix}/extension/${each.key}/arn"
  type        = "String"
  value       = aws_lambda_layer_version.layer[each.key].arn
  description = "Kinetel's layer for functions on ${each.key}"
  tags        = local.tags
}

resource "aws_ssm_parameter" "default_layer" {
  count = length(local.layers) > 0 ? 1 : 0

  name        = "${var.parameter_prefix}/extension/arn"
  type        = "String"
  value       = aws_lambda_layer_version.layer[var.default_architecture].arn
  description = "Kinetel's layer for functions on ${var.default_architecture}"
  tags        = local.tags
}
