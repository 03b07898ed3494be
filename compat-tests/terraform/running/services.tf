# Services on Fargate, one without tasks and one with two, and a task set of a service that others deploy.

resource "aws_ecs_cluster" "services" {
  name = "services"
}

resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  # Commands can be executed only in tasks that have a role.
  task_role_arn = "arn:aws:iam::${var.account}:role/task"

  container_definitions = jsonencode([
    {
      name        = "main"
      image       = "busybox:latest"
      essential   = true
      command     = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
      environment = [{ name = "STAGE", value = var.changed ? "second" : "first" }]
    },
  ])
}

resource "aws_ecs_service" "empty" {
  name                               = "empty"
  cluster                            = aws_ecs_cluster.services.id
  task_definition                    = aws_ecs_task_definition.web.arn
  launch_type                        = "FARGATE"
  platform_version                   = "1.4.0"
  desired_count                      = 0
  deployment_maximum_percent         = var.changed ? 150 : 200
  deployment_minimum_healthy_percent = 50
  availability_zone_rebalancing      = "ENABLED"
  enable_ecs_managed_tags            = true
  enable_execute_command             = var.changed
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = var.changed
  }

  network_configuration {
    subnets          = var.subnets
    security_groups  = [var.security_group]
    assign_public_ip = true
  }

  tags = {
    stage = var.changed ? "second" : "first"
  }
}

resource "aws_ecs_service" "two" {
  name                  = "two"
  cluster               = aws_ecs_cluster.services.id
  task_definition       = aws_ecs_task_definition.web.arn
  desired_count         = 2
  wait_for_steady_state = true

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = 1
    weight            = 1
  }

  network_configuration {
    subnets = var.subnets
  }

  # aws_ecs_tag gives it a tag that it does not know of.
  lifecycle {
    ignore_changes = [tags, tags_all]
  }

  depends_on = [aws_ecs_cluster_capacity_providers.services]
}

resource "aws_ecs_cluster_capacity_providers" "services" {
  cluster_name       = aws_ecs_cluster.services.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_ecs_tag" "two" {
  resource_arn = aws_ecs_service.two.id
  key          = "separate"
  value        = var.changed ? "second" : "first"
}

resource "aws_ecs_service" "external" {
  name          = "external"
  cluster       = aws_ecs_cluster.services.id
  desired_count = 1

  deployment_controller {
    type = "EXTERNAL"
  }
}

resource "aws_ecs_task_set" "external" {
  service         = aws_ecs_service.external.id
  cluster         = aws_ecs_cluster.services.id
  task_definition = aws_ecs_task_definition.web.arn
  launch_type     = "FARGATE"
  external_id     = "release"
  force_delete    = true

  scale {
    unit  = "PERCENT"
    value = var.changed ? 50 : 100
  }

  network_configuration {
    subnets         = var.subnets
    security_groups = [var.security_group]
  }

  tags = {
    stage = var.changed ? "second" : "first"
  }

  # A task set keeps its definition: another one would take its place.
  lifecycle {
    ignore_changes = [task_definition]
  }
}
