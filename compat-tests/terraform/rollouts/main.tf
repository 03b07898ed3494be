# Services that Terraform waits for: one is rolled over under a circuit breaker and an alarm, one by a task set.

resource "aws_ecs_cluster" "rollouts" {
  name = "rollouts"
}

resource "aws_ecs_cluster_capacity_providers" "rollouts" {
  cluster_name       = aws_ecs_cluster.rollouts.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_ecs_task_definition" "api" {
  family                   = "api"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"

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

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "errors"
  alarm_description   = var.changed ? "more than one" : "any"
  namespace           = "Api"
  metric_name         = "Errors"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = var.changed ? 3 : 2
  datapoints_to_alarm = 2
  threshold           = var.changed ? 1.5 : 0.5
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  actions_enabled     = !var.changed
  alarm_actions       = ["arn:aws:sns:us-east-1:${var.account}:page"]
  dimensions          = { Service = "rolling", Stage = var.changed ? "second" : "first" }

  tags = {
    stage = var.changed ? "second" : "first"
  }
}

resource "aws_cloudwatch_metric_alarm" "ratio" {
  alarm_name          = "ratio"
  evaluation_periods  = 1
  threshold           = 0.1
  comparison_operator = "GreaterThanOrEqualToThreshold"

  metric_query {
    id          = "ratio"
    expression  = "errors / requests"
    label       = "Share of errors"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { errors = "Errors", requests = "Requests" }

    content {
      id = metric_query.key

      metric {
        metric_name = metric_query.value
        namespace   = "Api"
        period      = var.changed ? 120 : 60
        stat        = "Sum"
        dimensions  = { Service = "rolling" }
      }
    }
  }
}

resource "aws_ecs_service" "rolling" {
  name                               = "rolling"
  cluster                            = aws_ecs_cluster.rollouts.id
  task_definition                    = aws_ecs_task_definition.api.arn
  desired_count                      = 2
  deployment_maximum_percent         = 150
  deployment_minimum_healthy_percent = 50
  force_new_deployment               = true
  wait_for_steady_state              = true

  triggers = {
    redeployment = var.changed ? "second" : "first"
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  alarms {
    alarm_names = var.changed ? [aws_cloudwatch_metric_alarm.errors.alarm_name, aws_cloudwatch_metric_alarm.ratio.alarm_name] : [aws_cloudwatch_metric_alarm.errors.alarm_name]
    enable      = true
    rollback    = true
  }

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = 1
    weight            = 1
  }

  capacity_provider_strategy {
    capacity_provider = "FARGATE_SPOT"
    weight            = 1
  }

  network_configuration {
    subnets         = var.subnets
    security_groups = [var.security_group]
  }

  depends_on = [aws_ecs_cluster_capacity_providers.rollouts]
}

resource "aws_ecs_service" "external" {
  name          = "external"
  cluster       = aws_ecs_cluster.rollouts.id
  desired_count = 2

  deployment_controller {
    type = "EXTERNAL"
  }
}

resource "aws_ecs_task_set" "external" {
  service           = aws_ecs_service.external.id
  cluster           = aws_ecs_cluster.rollouts.id
  task_definition   = aws_ecs_task_definition.api.arn
  wait_until_stable = true
  force_delete      = true

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  scale {
    unit  = "PERCENT"
    value = var.changed ? 50 : 100
  }

  network_configuration {
    subnets = var.subnets
  }

  lifecycle {
    ignore_changes = [task_definition]
  }
}
