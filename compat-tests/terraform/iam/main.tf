# Roles as tasks need them: an execution role with AWS's policy, a task role with policies of its own, an instance profile.
# `stage` changes what can be changed in place.

variable "stage" {
  type    = string
  default = "one"
}

data "aws_caller_identity" "me" {}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = var.stage == "one" ? ["ecs-tasks.amazonaws.com"] : ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "Read"
    actions   = var.stage == "one" ? ["s3:GetObject"] : ["s3:GetObject", "s3:ListBucket"]
    resources = ["arn:aws:s3:::data", "arn:aws:s3:::data/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.me.account_id]
    }
  }
}

data "aws_iam_policy" "execution" {
  name = "AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role" "execution" {
  name               = "execution"
  path               = "/team/"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = data.aws_iam_policy.execution.arn
}

resource "aws_iam_role" "task" {
  name_prefix           = "task-"
  description           = "stage ${var.stage}"
  assume_role_policy    = data.aws_iam_policy_document.trust.json
  max_session_duration  = var.stage == "one" ? 3600 : 7200
  permissions_boundary  = var.stage == "one" ? aws_iam_policy.read.arn : null
  force_detach_policies = true

  tags = {
    Stage = var.stage
    Team  = "web"
  }
}

resource "aws_iam_role_policy" "task" {
  name   = "own"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_policy" "read" {
  name        = "read"
  path        = "/team/"
  description = "reads data"
  policy      = data.aws_iam_policy_document.read.json

  tags = {
    Stage = var.stage
  }
}

resource "aws_iam_role_policy_attachment" "task" {
  role       = aws_iam_role.task.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_instance_profile" "node" {
  name = "node"
  role = var.stage == "one" ? aws_iam_role.task.name : aws_iam_role.execution.name

  tags = {
    Stage = var.stage
  }
}

resource "aws_iam_service_linked_role" "ecs" {
  aws_service_name = "ecs.amazonaws.com"
}

data "aws_iam_role" "task" {
  name = aws_iam_role.task.name
}

output "task_role_arn" {
  value = data.aws_iam_role.task.arn
}

output "account" {
  value = data.aws_caller_identity.me.account_id
}
