# Rules, their targets, buses and endpoints of EventBridge, and schedules with their groups: what starts tasks of ECS.

resource "aws_ecs_cluster" "jobs" {
  name = "jobs"
}

resource "aws_ecs_task_definition" "job" {
  family                   = "job"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"

  container_definitions = jsonencode([
    { name = "main", image = "busybox:latest", essential = true, command = ["/bin/true"] },
  ])
}

resource "aws_iam_role" "events" {
  name = "events"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = ["events.amazonaws.com", "scheduler.amazonaws.com"] }
    }]
  })
}

resource "aws_cloudwatch_log_group" "events" {
  name              = "/aws/events/tasks"
  retention_in_days = var.changed ? 14 : 7
  tags              = { stage = var.changed ? "second" : "first" }
}

resource "aws_cloudwatch_log_resource_policy" "events" {
  policy_name = "events"

  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = var.changed ? ["logs:CreateLogStream", "logs:PutLogEvents"] : ["logs:PutLogEvents"]
      Principal = { Service = "events.amazonaws.com" }
      Resource  = "${aws_cloudwatch_log_group.events.arn}:*"
    }]
  })
}

resource "aws_cloudwatch_event_bus" "orders" {
  name        = "orders"
  description = var.changed ? "second" : "first"
}

resource "aws_cloudwatch_event_permission" "orders" {
  event_bus_name = aws_cloudwatch_event_bus.orders.name
  statement_id   = "other"
  principal      = "210987654321"
}

resource "aws_cloudwatch_event_rule" "tasks" {
  name        = "tasks"
  description = var.changed ? "second" : "first"

  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Task State Change"]
    detail        = { clusterArn = [aws_ecs_cluster.jobs.arn] }
  })
}

resource "aws_cloudwatch_event_target" "log" {
  rule = aws_cloudwatch_event_rule.tasks.name
  arn  = aws_cloudwatch_log_group.events.arn
}

resource "aws_cloudwatch_event_rule" "nightly" {
  name                = "nightly"
  schedule_expression = var.changed ? "rate(2 hours)" : "cron(0 3 * * ? *)"
  state               = var.changed ? "DISABLED" : "ENABLED"
}

resource "aws_cloudwatch_event_target" "job" {
  target_id = "job"
  rule      = aws_cloudwatch_event_rule.nightly.name
  arn       = aws_ecs_cluster.jobs.arn
  role_arn  = aws_iam_role.events.arn

  input = jsonencode({
    containerOverrides = [{ name = "main", command = ["/bin/echo", var.changed ? "second" : "first"] }]
  })

  ecs_target {
    task_count          = 1
    task_definition_arn = aws_ecs_task_definition.job.arn
    launch_type         = "FARGATE"
    propagate_tags      = "TASK_DEFINITION"

    network_configuration {
      subnets          = var.subnets
      security_groups  = [var.security_group]
      assign_public_ip = true
    }
  }

  retry_policy {
    maximum_event_age_in_seconds = 600
    maximum_retry_attempts       = 3
  }
}

resource "aws_cloudwatch_event_rule" "orders" {
  name           = "orders"
  event_bus_name = aws_cloudwatch_event_bus.orders.name
  event_pattern  = jsonencode({ source = [{ prefix = "shop." }] })
}

resource "aws_cloudwatch_event_connection" "hook" {
  name               = "hook"
  authorization_type = "API_KEY"

  auth_parameters {
    api_key {
      key   = "x-key"
      value = var.changed ? "second" : "first"
    }
  }
}

resource "aws_cloudwatch_event_api_destination" "hook" {
  name                             = "hook"
  invocation_endpoint              = "https://hooks.example/orders/*"
  http_method                      = "POST"
  invocation_rate_limit_per_second = var.changed ? 20 : 10
  connection_arn                   = aws_cloudwatch_event_connection.hook.arn
}

resource "aws_cloudwatch_event_target" "hook" {
  rule           = aws_cloudwatch_event_rule.orders.name
  event_bus_name = aws_cloudwatch_event_bus.orders.name
  arn            = aws_cloudwatch_event_api_destination.hook.arn
  role_arn       = aws_iam_role.events.arn

  http_target {
    path_parameter_values   = ["new"]
    header_parameters       = { "x-from" = "neargate" }
    query_string_parameters = { v = "1" }
  }

  input_transformer {
    input_paths    = { n = "$.detail.n" }
    input_template = "{\"n\": <n>}"
  }
}

resource "aws_scheduler_schedule_group" "jobs" {
  name = "jobs"
}

resource "aws_scheduler_schedule" "job" {
  name                         = "job"
  group_name                   = aws_scheduler_schedule_group.jobs.name
  description                  = var.changed ? "second" : "first"
  schedule_expression          = var.changed ? "rate(5 hours)" : "cron(0 9 ? * MON-FRI *)"
  schedule_expression_timezone = "Europe/Berlin"

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 15
  }

  target {
    arn      = aws_ecs_cluster.jobs.arn
    role_arn = aws_iam_role.events.arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.job.arn
      launch_type         = "FARGATE"
      task_count          = 2

      network_configuration {
        subnets          = var.subnets
        security_groups  = [var.security_group]
        assign_public_ip = false
      }
    }

    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 5
    }
  }
}

resource "aws_scheduler_schedule" "once" {
  name                = "once"
  schedule_expression = "at(2099-01-01T00:00:00)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.jobs.arn
    role_arn = aws_iam_role.events.arn
    input    = jsonencode({ containerOverrides = [{ name = "main", command = ["/bin/false"] }] })

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.job.arn
    }
  }
}
