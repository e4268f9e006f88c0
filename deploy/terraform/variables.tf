variable "name" {
  description = "The stream's name. Names of other resources begin with it. If you use the module twice in an account and region, give each its own name, parameter_prefix and database_name."
  type        = string
  default     = "kinetel"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,23}$", var.name))
    error_message = "name is \"${var.name}\". Give 1 to 24 small letters, digits and hyphens that begin with a letter, such as kinetel: bucket names and role names begin with it."
  }
}

# --- Stream -----------------------------------------------------------------------

variable "stream_mode" {
  description = "ON_DEMAND scales by itself and bills by bytes; PROVISIONED has shard_count shards and bills by the hour."
  type        = string
  default     = "ON_DEMAND"
  nullable    = false

  validation {
    condition     = contains(["ON_DEMAND", "PROVISIONED"], var.stream_mode)
    error_message = "stream_mode is \"${var.stream_mode}\". Set ON_DEMAND or PROVISIONED."
  }
}

variable "shard_count" {
  description = "Shards of a PROVISIONED stream, each for 1 MiB and 1000 records a second. ON_DEMAND ignores it."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.shard_count >= 1 && var.shard_count <= 20000 && floor(var.shard_count) == var.shard_count
    error_message = "shard_count is ${var.shard_count}. Set a whole number from 1 to 20000."
  }
}

variable "retention_hours" {
  description = "How many hours the stream keeps a record, 24 to 8760. More than 24 hours cost extra."
  type        = number
  default     = 24
  nullable    = false

  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760 && floor(var.retention_hours) == var.retention_hours
    error_message = "retention_hours is ${var.retention_hours}. Set a whole number from 24 (a day) to 8760 (a year)."
  }
}

variable "encryption" {
  description = "The key that encrypts the stream. aws: alias/aws/kinesis. customer: the module creates a key, which costs by the month and by the request."
  type        = string
  default     = "aws"
  nullable    = false

  validation {
    condition     = contains(["aws", "customer"], var.encryption)
    error_message = "encryption is \"${var.encryption}\". Set aws or customer."
  }
}

variable "writer_accounts" {
  description = "Other accounts whose functions may write to the stream. Needs encryption = \"customer\"."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for account in var.writer_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "writer_accounts is [${join(", ", var.writer_accounts)}]. Give account ids of 12 digits each, as strings, such as [\"111122223333\"]."
  }

  validation {
    condition     = length(var.writer_accounts) == 0 || var.encryption == "customer"
    error_message = "writer_accounts needs encryption = \"customer\", because no other account can use AWS's own key."
  }
}

# --- Layers -----------------------------------------------------------------------

variable "layer_bucket" {
  description = "A bucket in this region with the zip files of make package. Without layer_bucket and layer_folder the module creates no layers; use make publish."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$", var.layer_bucket))
    error_message = "layer_bucket is \"${var.layer_bucket}\". Give the name of an S3 bucket, without s3://, or leave it empty."
  }
}

variable "layer_prefix" {
  description = "The key of a zip file is this prefix and <version>/kinesis-telemetry-extension-<amd64|arm64>.zip."
  type        = string
  default     = "kinetel/"
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9!_.*'()-]+/)*$", var.layer_prefix))
    error_message = "layer_prefix is \"${var.layer_prefix}\". End it with a slash and do not begin with one, as in kinetel/, or leave it empty."
  }
}

variable "layer_folder" {
  description = "A folder with the zip files of make package, such as dist, instead of layer_bucket."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.layer_folder == "" || var.layer_bucket == ""
    error_message = "layer_folder and layer_bucket are both set. Set one of them."
  }
}

# "version" is a reserved name.
variable "kinetel_version" {
  description = "The version of Kinetel whose zip files the module takes. A new version creates new layer versions; the old ones stay."
  type        = string
  default     = "0.1.0"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.-]+)?$", var.kinetel_version))
    error_message = "kinetel_version is \"${var.kinetel_version}\". Give one of Kinetel's, such as 0.1.0, without a leading v."
  }
}

variable "default_architecture" {
  description = "The SSM parameter extension/arn has the layer of this architecture."
  type        = string
  default     = "x86_64" # like Lambda
  nullable    = false

  validation {
    condition     = contains(["x86_64", "arm64"], var.default_architecture)
    error_message = "default_architecture is \"${var.default_architecture}\". Set x86_64 or arm64."
  }
}

variable "parameter_prefix" {
  description = "The names of the SSM parameters begin with it."
  type        = string
  default     = "/telemetry/kinesis"
  nullable    = false

  validation {
    condition     = can(regex("^(/[A-Za-z0-9_.-]+)+$", var.parameter_prefix))
    error_message = "parameter_prefix is \"${var.parameter_prefix}\". Begin it with a slash and do not end it with one, as in /telemetry/kinesis."
  }
}

# --- Alarms -----------------------------------------------------------------------

variable "alarm_topic_arn" {
  description = "Alarms notify this SNS topic. Without one they only change their state."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+)?$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn is \"${var.alarm_topic_arn}\". Give the ARN of an SNS topic, or leave it empty."
  }
}

variable "iterator_age_minutes" {
  description = "An alarm fires if a consumer is this many minutes behind for 15 minutes. Stay well below retention_hours, after which the stream drops records."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.iterator_age_minutes >= 1 && var.iterator_age_minutes <= 10080 && floor(var.iterator_age_minutes) == var.iterator_age_minutes
    error_message = "iterator_age_minutes is ${var.iterator_age_minutes}. Set a whole number from 1 to 10080 (a week)."
  }
}

# --- Delivery to S3 ---------------------------------------------------------------

variable "delivery" {
  description = "s3: Firehose writes objects by day, for functions with KINETEL_COMPRESSION=gzip (the default). s3-partitioned: by day and function; all functions then need KINETEL_COMPRESSION=none. none: no delivery."
  type        = string
  default     = "none"
  nullable    = false

  validation {
    condition     = contains(["none", "s3", "s3-partitioned"], var.delivery)
    error_message = "delivery is \"${var.delivery}\". Set none, s3 or s3-partitioned."
  }
}

variable "buffer_seconds" {
  description = "How many seconds Firehose collects before it writes an object, 60 to 900."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.buffer_seconds >= 60 && var.buffer_seconds <= 900 && floor(var.buffer_seconds) == var.buffer_seconds
    error_message = "buffer_seconds is ${var.buffer_seconds}. Set a whole number from 60 to 900."
  }
}

variable "expiration_days" {
  description = "After how many days S3 deletes objects. 0 keeps them."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.expiration_days >= 0 && var.expiration_days <= 36500 && floor(var.expiration_days) == var.expiration_days
    error_message = "expiration_days is ${var.expiration_days}. Set a whole number from 1 to 36500, or 0 to keep objects."
  }
}

variable "first_day" {
  description = "The first day that queries read, such as 2026/11/01."
  type        = string
  default     = "2026/11/01"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{4}/(0[1-9]|1[0-2])/(0[1-9]|[12][0-9]|3[01])$", var.first_day))
    error_message = "first_day is \"${var.first_day}\". Give a day such as 2026/11/01."
  }
}

variable "database_name" {
  description = "The Glue database of the tables, if there is a delivery."
  type        = string
  default     = "kinetel"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9_]{1,255}$", var.database_name))
    error_message = "database_name is \"${var.database_name}\". Use small letters, digits and underscores, because queries name it."
  }
}
