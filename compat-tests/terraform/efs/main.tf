# A file system as ECS volumes need one: encrypted, in two zones, with an access point, a policy and backups. What can be
# changed in place is, with `changed`.

data "aws_subnets" "default" {
  filter {
    name   = "default-for-az"
    values = ["true"]
  }
}

resource "aws_efs_file_system" "data" {
  creation_token                  = "data"
  encrypted                       = true
  throughput_mode                 = var.changed ? "provisioned" : "bursting"
  provisioned_throughput_in_mibps = var.changed ? 16 : null

  lifecycle_policy {
    transition_to_ia = var.changed ? "AFTER_60_DAYS" : "AFTER_30_DAYS"
  }

  tags = {
    Name  = "data"
    stage = var.changed ? "two" : "one"
  }
}

resource "aws_efs_file_system" "plain" {}

resource "aws_efs_mount_target" "data" {
  count          = 2
  file_system_id = aws_efs_file_system.data.id
  subnet_id      = sort(data.aws_subnets.default.ids)[count.index]
}

resource "aws_efs_access_point" "web" {
  file_system_id = aws_efs_file_system.data.id

  posix_user {
    uid            = 1000
    gid            = 1000
    secondary_gids = [2000]
  }

  root_directory {
    path = "/web"

    creation_info {
      owner_uid   = 1000
      owner_gid   = 1000
      permissions = "0755"
    }
  }

  tags = {
    stage = var.changed ? "two" : "one"
  }
}

resource "aws_efs_backup_policy" "data" {
  file_system_id = aws_efs_file_system.data.id

  backup_policy {
    status = var.changed ? "DISABLED" : "ENABLED"
  }
}

resource "aws_efs_file_system_policy" "data" {
  file_system_id = aws_efs_file_system.data.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Mount"
      Effect    = "Allow"
      Principal = { AWS = "*" }
      Action    = var.changed ? "elasticfilesystem:ClientMount" : "elasticfilesystem:ClientWrite"
      Resource  = aws_efs_file_system.data.arn
    }]
  })
}

data "aws_efs_file_system" "data" {
  file_system_id = aws_efs_file_system.data.id
}
