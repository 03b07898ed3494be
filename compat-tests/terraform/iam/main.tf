# Roles as tasks need them: an execution role with AWS's policy, a task role with policies of its own, an instance profile.
# What can be changed in place is, with `changed`.

locals {
  stage = var.changed ? "two" : "one"
}

data "aws_caller_identity" "me" {}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = var.changed ? ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"] : ["ecs-tasks.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "Read"
    actions   = var.changed ? ["s3:GetObject", "s3:ListBucket"] : ["s3:GetObject"]
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
  description           = "stage ${local.stage}"
  assume_role_policy    = data.aws_iam_policy_document.trust.json
  max_session_duration  = var.changed ? 7200 : 3600
  permissions_boundary  = var.changed ? null : aws_iam_policy.read.arn
  force_detach_policies = true

  tags = {
    Stage = local.stage
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
    Stage = local.stage
  }
}

resource "aws_iam_role_policy_attachment" "task" {
  role       = aws_iam_role.task.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_instance_profile" "node" {
  name = "node"
  role = var.changed ? aws_iam_role.execution.name : aws_iam_role.task.name

  tags = {
    Stage = local.stage
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
