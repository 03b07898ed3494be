# Repositories with everything that a team sets about them, and the registry around them.

locals {
  days = var.changed ? 30 : 14
}

resource "aws_ecr_repository" "web" {
  name                 = "team/web"
  image_tag_mutability = var.changed ? "MUTABLE" : "IMMUTABLE"
  force_delete         = true
  image_scanning_configuration {
    scan_on_push = var.changed
  }
  encryption_configuration {
    encryption_type = "AES256"
  }
  tags = {
    stage = var.changed ? "two" : "one"
  }
}

resource "aws_ecr_repository" "plain" {
  name = "plain"
}

resource "aws_ecr_repository" "sealed" {
  name = "team/sealed"
  encryption_configuration {
    encryption_type = "KMS"
  }
}

resource "aws_ecr_repository" "sealed_by_key" {
  name         = "team/sealed-by-key"
  force_delete = var.changed
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = "arn:aws:kms:us-east-1:${var.account}:key/11111111-2222-3333-4444-555555555555"
  }
}

data "aws_ecr_lifecycle_policy_document" "web" {
  rule {
    priority    = 1
    description = "Untagged images go after ${local.days} days."
    selection {
      tag_status   = "untagged"
      count_type   = "sinceImagePushed"
      count_unit   = "days"
      count_number = local.days
    }
  }
  rule {
    priority = 2
    selection {
      tag_status       = "tagged"
      tag_pattern_list = ["v*-rc", "dev*"]
      count_type       = "imageCountMoreThan"
      count_number     = 10
    }
    action {
      type = "expire"
    }
  }
}

resource "aws_ecr_lifecycle_policy" "web" {
  repository = aws_ecr_repository.web.name
  policy     = data.aws_ecr_lifecycle_policy_document.web.json
}

resource "aws_ecr_repository_policy" "web" {
  repository = aws_ecr_repository.web.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "pull"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.account}:root" }
      Action    = var.changed ? ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] : ["ecr:BatchGetImage"]
    }]
  })
}

resource "aws_ecr_registry_policy" "registry" {
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "replicate"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::100000000099:root" }
      Action    = var.changed ? ["ecr:CreateRepository", "ecr:ReplicateImage"] : ["ecr:ReplicateImage"]
      Resource  = ["arn:aws:ecr:us-east-1:${var.account}:repository/*"]
    }]
  })
}

resource "aws_ecr_registry_scanning_configuration" "registry" {
  scan_type = var.changed ? "ENHANCED" : "BASIC"
  rule {
    scan_frequency = "SCAN_ON_PUSH"
    repository_filter {
      filter      = "team/*"
      filter_type = "WILDCARD"
    }
  }
  dynamic "rule" {
    for_each = var.changed ? ["prod"] : []
    content {
      scan_frequency = "CONTINUOUS_SCAN"
      repository_filter {
        filter      = rule.value
        filter_type = "WILDCARD"
      }
    }
  }
}

resource "aws_ecr_replication_configuration" "registry" {
  replication_configuration {
    rule {
      destination {
        region      = "eu-west-1"
        registry_id = var.account
      }
      repository_filter {
        filter      = var.changed ? "team/" : "prod"
        filter_type = "PREFIX_MATCH"
      }
    }
  }
}

resource "aws_secretsmanager_secret" "hub" {
  name                    = "ecr-pullthroughcache/hub"
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret" "hub_next" {
  name                    = "ecr-pullthroughcache/hub-next"
  recovery_window_in_days = 0
}

resource "aws_ecr_pull_through_cache_rule" "public" {
  ecr_repository_prefix = "public"
  upstream_registry_url = "public.ecr.aws"
}

resource "aws_ecr_pull_through_cache_rule" "hub" {
  ecr_repository_prefix = "hub"
  upstream_registry_url = "registry-1.docker.io"
  credential_arn        = var.changed ? aws_secretsmanager_secret.hub_next.arn : aws_secretsmanager_secret.hub.arn
}

resource "aws_ecr_pull_through_cache_rule" "other" {
  ecr_repository_prefix      = "other"
  upstream_registry_url      = "100000000099.dkr.ecr.eu-west-1.amazonaws.com"
  upstream_repository_prefix = "team"
  custom_role_arn            = "arn:aws:iam::${var.account}:role/${var.changed ? "pull-next" : "pull"}"
}

resource "aws_ecr_account_setting" "scan" {
  name  = "BASIC_SCAN_TYPE_VERSION"
  value = var.changed ? "CLAIR" : "AWS_NATIVE"
}

resource "aws_ecr_account_setting" "scope" {
  name  = "REGISTRY_POLICY_SCOPE"
  value = "V2"
}

resource "aws_ecr_repository_creation_template" "team" {
  prefix               = "team"
  description          = var.changed ? "for the team" : "for all"
  image_tag_mutability = "IMMUTABLE"
  applied_for          = var.changed ? ["REPLICATION"] : ["PULL_THROUGH_CACHE", "REPLICATION"]
  custom_role_arn      = "arn:aws:iam::${var.account}:role/create"
  encryption_configuration {
    encryption_type = "AES256"
  }
  repository_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = "ecr:BatchGetImage"
    }]
  })
  lifecycle_policy = data.aws_ecr_lifecycle_policy_document.web.json
  resource_tags = {
    stage = var.changed ? "two" : "one"
  }
}

resource "aws_ecr_repository_creation_template" "root" {
  prefix      = "ROOT"
  applied_for = ["PULL_THROUGH_CACHE"]
}

resource "aws_ecrpublic_repository" "tool" {
  repository_name = "tool"
  force_destroy   = true
  catalog_data {
    description       = var.changed ? "A better tool." : "A tool."
    about_text        = "# About"
    usage_text        = "# Usage"
    architectures     = ["x86-64", "ARM 64"]
    operating_systems = ["Linux"]
  }
  tags = {
    stage = var.changed ? "two" : "one"
  }
}

resource "aws_ecrpublic_repository_policy" "tool" {
  repository_name = aws_ecrpublic_repository.tool.repository_name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.account}:root" }
      Action    = var.changed ? ["ecr-public:*"] : ["ecr-public:PutImage"]
    }]
  })
}

data "aws_ecr_repository" "web" {
  name = aws_ecr_repository.web.name
}

data "aws_ecr_repositories" "all" {
  depends_on = [aws_ecr_repository.plain, aws_ecr_repository.web, aws_ecr_repository.sealed, aws_ecr_repository.sealed_by_key]
}

data "aws_ecr_authorization_token" "token" {}

data "aws_ecrpublic_authorization_token" "token" {}

data "aws_ecr_pull_through_cache_rule" "hub" {
  ecr_repository_prefix = aws_ecr_pull_through_cache_rule.hub.ecr_repository_prefix
}

data "aws_ecr_repository_creation_template" "team" {
  prefix = aws_ecr_repository_creation_template.team.prefix
}

# The test pushes an image between the two applications.
data "aws_ecr_image" "latest" {
  count           = var.changed ? 1 : 0
  repository_name = aws_ecr_repository.web.name
  most_recent     = true
}

data "aws_ecr_image" "tagged" {
  count           = var.changed ? 1 : 0
  repository_name = aws_ecr_repository.web.name
  image_tag       = "v1"
}

output "repository_url" {
  value = data.aws_ecr_repository.web.repository_url
}

output "repositories" {
  value = data.aws_ecr_repositories.all.names
}

output "users" {
  value     = [data.aws_ecr_authorization_token.token.user_name, data.aws_ecrpublic_authorization_token.token.user_name]
}

output "upstream" {
  value = data.aws_ecr_pull_through_cache_rule.hub.upstream_registry_url
}

output "template" {
  value = data.aws_ecr_repository_creation_template.team.description
}

output "latest" {
  value = var.changed ? data.aws_ecr_image.latest[0].image_digest : null
}

output "tagged" {
  value = var.changed ? data.aws_ecr_image.tagged[0].image_tags : null
}
