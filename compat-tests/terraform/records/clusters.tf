# Clusters, their capacity providers, tags that are resources of their own, and the settings of the account.

locals {
  key = "arn:aws:kms:us-east-1:${var.account}:key/9a1a7a0e-5d5a-4c55-8e0b-3c1f0f5e4b11"
}

resource "aws_ecs_cluster" "plain" {
  name = "plain"
}

resource "aws_ecs_cluster" "full" {
  name = "full"

  setting {
    name  = "containerInsights"
    value = var.changed ? "enhanced" : "enabled"
  }

  configuration {
    execute_command_configuration {
      kms_key_id = local.key
      logging    = "OVERRIDE"

      log_configuration {
        cloud_watch_encryption_enabled = true
        cloud_watch_log_group_name     = var.changed ? "commands-2" : "commands"
        s3_bucket_encryption_enabled   = true
        s3_bucket_name                 = "commands"
        s3_key_prefix                  = "sessions"
      }
    }

    managed_storage_configuration {
      fargate_ephemeral_storage_kms_key_id = local.key
      kms_key_id                           = local.key
    }
  }

  service_connect_defaults {
    namespace = "arn:aws:servicediscovery:us-east-1:${var.account}:namespace/ns-0123456789abcdef"
  }

  tags = {
    stage = var.changed ? "second" : "first"
  }
}

resource "aws_ecs_cluster" "tagged" {
  name = "tagged"

  # aws_ecs_tag gives it a tag that it does not know of.
  lifecycle {
    ignore_changes = [tags, tags_all]
  }
}

resource "aws_ecs_tag" "separate" {
  resource_arn = aws_ecs_cluster.tagged.arn
  key          = "separate"
  value        = var.changed ? "second" : "first"
}

resource "aws_ecs_capacity_provider" "group" {
  name = "group"

  auto_scaling_group_provider {
    auto_scaling_group_arn         = "arn:aws:autoscaling:us-east-1:${var.account}:autoScalingGroup:7e0d2f6c-6c4b-4c55-9f54-0a0b8d3f2a11:autoScalingGroupName/group"
    managed_draining               = "ENABLED"
    managed_termination_protection = "DISABLED"

    managed_scaling {
      instance_warmup_period    = 120
      maximum_scaling_step_size = var.changed ? 20 : 10
      minimum_scaling_step_size = 2
      status                    = "ENABLED"
      target_capacity           = var.changed ? 90 : 80
    }
  }

  tags = {
    stage = var.changed ? "second" : "first"
  }
}

resource "aws_ecs_cluster_capacity_providers" "full" {
  cluster_name       = aws_ecs_cluster.full.name
  capacity_providers = var.changed ? ["FARGATE", "FARGATE_SPOT"] : ["FARGATE", "FARGATE_SPOT", aws_ecs_capacity_provider.group.name]

  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = 1
    weight            = var.changed ? 3 : 1
  }

  default_capacity_provider_strategy {
    capacity_provider = "FARGATE_SPOT"
    weight            = 2
  }
}

resource "aws_ecs_account_setting_default" "insights" {
  name  = "containerInsights"
  value = var.changed ? "enhanced" : "enabled"
}

resource "aws_ecs_account_setting_default" "trunking" {
  name  = "awsvpcTrunking"
  value = var.changed ? "disabled" : "enabled"
}
