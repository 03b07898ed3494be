# What the data sources read; one of them runs tasks, each time that it is read.

resource "aws_ecs_cluster" "read" {
  name = "read"

  setting {
    name  = "containerInsights"
    value = var.changed ? "enabled" : "disabled"
  }

  tags = {
    stage = var.changed ? "second" : "first"
  }
}

resource "aws_ecs_task_definition" "read" {
  family                   = "read"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"

  container_definitions = jsonencode([
    {
      name              = "main"
      image             = "busybox:latest"
      command           = ["/bin/false"]
      essential         = true
      cpu               = 128
      memory            = 256
      memoryReservation = 128
      dockerLabels      = { tier = "web" }
      environment       = [{ name = "MESSAGE", value = "hello" }]
    },
  ])
}

resource "aws_ecs_service" "read" {
  name            = "read"
  cluster         = aws_ecs_cluster.read.id
  task_definition = aws_ecs_task_definition.read.arn
  launch_type     = "FARGATE"
  desired_count   = 0

  network_configuration {
    subnets = var.subnets
  }
}

data "aws_ecs_cluster" "read" {
  cluster_name = aws_ecs_cluster.read.name
}

data "aws_ecs_task_definition" "read" {
  task_definition = aws_ecs_task_definition.read.family
  depends_on      = [aws_ecs_task_definition.read]
}

data "aws_ecs_container_definition" "read" {
  task_definition = aws_ecs_task_definition.read.arn
  container_name  = "main"
}

data "aws_ecs_service" "read" {
  service_name = aws_ecs_service.read.name
  cluster_arn  = aws_ecs_cluster.read.arn
}

data "aws_ecs_task_execution" "read" {
  cluster                 = aws_ecs_cluster.read.id
  task_definition         = aws_ecs_task_definition.read.arn
  desired_count           = 2
  launch_type             = "FARGATE"
  platform_version        = "LATEST"
  enable_ecs_managed_tags = true
  group                   = "readers"
  propagate_tags          = "TASK_DEFINITION"
  reference_id            = "reference"
  started_by              = "terraform"
  tags                    = { kind = "once" }

  network_configuration {
    subnets          = var.subnets
    security_groups  = [var.security_group]
    assign_public_ip = false
  }

  overrides {
    cpu    = "512"
    memory = "1024"

    container_overrides {
      name    = "main"
      command = ["/bin/true"]
      cpu     = 64
      memory  = 192

      environment {
        key   = "MESSAGE"
        value = "overridden"
      }
    }
  }
}

output "read" {
  value = {
    cluster_status   = data.aws_ecs_cluster.read.status
    cluster_setting  = one(data.aws_ecs_cluster.read.setting).value
    cluster_stage    = data.aws_ecs_cluster.read.tags["stage"]
    family           = data.aws_ecs_task_definition.read.family
    revision         = data.aws_ecs_task_definition.read.revision
    same_definition  = data.aws_ecs_task_definition.read.arn == aws_ecs_task_definition.read.arn
    cpu              = data.aws_ecs_task_definition.read.cpu
    image            = data.aws_ecs_container_definition.read.image
    image_digest     = data.aws_ecs_container_definition.read.image_digest
    container_cpu    = data.aws_ecs_container_definition.read.cpu
    container_memory = data.aws_ecs_container_definition.read.memory
    message          = data.aws_ecs_container_definition.read.environment["MESSAGE"]
    label            = data.aws_ecs_container_definition.read.docker_labels["tier"]
    desired_count    = data.aws_ecs_service.read.desired_count
    launch_type      = data.aws_ecs_service.read.launch_type
    tasks            = length(data.aws_ecs_task_execution.read.task_arns)
  }
}
