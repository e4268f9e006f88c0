output "stream_name" {
  description = "The stream, for KINETEL_STREAM_NAME within this account and region"
  value       = aws_kinesis_stream.stream.name
}

output "stream_arn" {
  description = "The stream, for KINETEL_STREAM_ARN"
  value       = aws_kinesis_stream.stream.arn
}

output "key_arn" {
  description = "The key. Functions of other accounts need kms:GenerateDataKey on it in their roles' policies. Null if the key is AWS's"
  value       = local.key
}

output "policy_arn" {
  description = "The managed policy for the roles of functions"
  value       = aws_iam_policy.write.arn
}

output "layer_x86_arn" {
  description = "The layer for functions on x86_64. Null if the module makes no layers"
  value       = one([for name, layer in aws_lambda_layer_version.layer : layer.arn if name == "x86_64"])
}

output "layer_arm_arn" {
  description = "The layer for functions on arm64. Null if the module makes no layers"
  value       = one([for name, layer in aws_lambda_layer_version.layer : layer.arn if name == "arm64"])
}

output "delivery_bucket_name" {
  description = "The bucket that Firehose writes to. Null without a delivery"
  value       = one(aws_s3_bucket.delivery[*].bucket)
}
