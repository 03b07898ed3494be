# Secrets and parameters, as ECS users write them.

locals {
  revision = var.changed ? 2 : 1
}

resource "aws_secretsmanager_secret" "database" {
  name                    = "app/database"
  description             = "revision ${local.revision}"
  recovery_window_in_days = 0
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.account}:root" }
      Action    = "secretsmanager:GetSecretValue"
      Resource  = "*"
    }]
  })
  tags = {
    revision = local.revision
  }
}

resource "aws_secretsmanager_secret_version" "database" {
  secret_id = aws_secretsmanager_secret.database.id
  secret_string = jsonencode({
    username = "app"
    password = "password-${local.revision}"
  })
}

resource "aws_secretsmanager_secret" "bytes" {
  name_prefix             = "app-bytes-"
  recovery_window_in_days = 7
}

resource "aws_secretsmanager_secret_version" "bytes" {
  secret_id      = aws_secretsmanager_secret.bytes.id
  secret_binary  = base64encode("bytes ${local.revision}")
  version_stages = ["AWSCURRENT", "MINE"]
}

resource "aws_ssm_parameter" "text" {
  name            = "/app/text"
  type            = "String"
  value           = "value ${local.revision}"
  description     = "revision ${local.revision}"
  allowed_pattern = "^value \\d+$"
  tags = {
    revision = local.revision
  }
}

resource "aws_ssm_parameter" "list" {
  name  = "app-list"
  type  = "StringList"
  value = "a,b,${local.revision}"
}

resource "aws_ssm_parameter" "password" {
  name  = "/app/password"
  type  = "SecureString"
  value = "password-${local.revision}"
  tier  = "Advanced"
}

data "aws_secretsmanager_secret" "database" {
  arn = aws_secretsmanager_secret.database.arn
}

data "aws_secretsmanager_secret_version" "database" {
  secret_id  = aws_secretsmanager_secret.database.id
  depends_on = [aws_secretsmanager_secret_version.database]
}

data "aws_ssm_parameter" "password" {
  name       = aws_ssm_parameter.password.name
  depends_on = [aws_ssm_parameter.password]
}

data "aws_ssm_parameters_by_path" "app" {
  path       = "/app"
  depends_on = [aws_ssm_parameter.text, aws_ssm_parameter.password]
}

output "username" {
  value     = jsondecode(data.aws_secretsmanager_secret_version.database.secret_string)["username"]
  sensitive = true
}

output "parameters" {
  value = sort(data.aws_ssm_parameters_by_path.app.names)
}

output "secret_name" {
  value = data.aws_secretsmanager_secret.database.name
}

output "password_version" {
  value = data.aws_ssm_parameter.password.version
}
