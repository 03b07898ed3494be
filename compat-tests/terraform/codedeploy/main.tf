# What CodeDeploy needs to deploy an ECS service: application, configurations, deployment groups. Target groups and
# listeners are names to it.

resource "aws_ecs_cluster" "deployed" {
  name = "deployed"
}

resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"

  container_definitions = jsonencode([
    { name = "main", image = "busybox:latest", portMappings = [{ containerPort = 80 }] },
  ])
}

resource "aws_ecs_service" "web" {
  name            = "web"
  cluster         = aws_ecs_cluster.deployed.id
  task_definition = aws_ecs_task_definition.web.arn
  launch_type     = "FARGATE"
  desired_count   = 0

  deployment_controller {
    type = "CODE_DEPLOY"
  }

  network_configuration {
    subnets         = var.subnets
    security_groups = [var.security_group]
  }

  load_balancer {
    target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:${var.account}:targetgroup/blue/0123456789abcdef"
    container_name   = "main"
    container_port   = 80
  }

  # CodeDeploy changes them.
  lifecycle {
    ignore_changes = [task_definition, load_balancer]
  }
}

resource "aws_codedeploy_app" "shop" {
  name             = "shop"
  compute_platform = "ECS"
  tags             = { stage = var.changed ? "two" : "one" }
}

resource "aws_codedeploy_deployment_config" "slow" {
  deployment_config_name = "slow"
  compute_platform       = "ECS"

  traffic_routing_config {
    type = "TimeBasedLinear"

    time_based_linear {
      interval   = 2
      percentage = 20
    }
  }
}

resource "aws_codedeploy_deployment_config" "careful" {
  deployment_config_name = "careful"
  compute_platform       = "ECS"

  traffic_routing_config {
    type = "TimeBasedCanary"

    time_based_canary {
      interval   = 10
      percentage = 5
    }
  }
}

resource "aws_codedeploy_deployment_group" "web" {
  app_name               = aws_codedeploy_app.shop.name
  deployment_group_name  = "web"
  service_role_arn       = "arn:aws:iam::${var.account}:role/deploy"
  deployment_config_name = var.changed ? aws_codedeploy_deployment_config.slow.id : "CodeDeployDefault.ECSAllAtOnce"

  auto_rollback_configuration {
    enabled = true
    events  = var.changed ? ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"] : ["DEPLOYMENT_FAILURE"]
  }

  blue_green_deployment_config {
    deployment_ready_option {
      action_on_timeout    = var.changed ? "STOP_DEPLOYMENT" : "CONTINUE_DEPLOYMENT"
      wait_time_in_minutes = var.changed ? 30 : 0
    }

    terminate_blue_instances_on_deployment_success {
      action                           = "TERMINATE"
      termination_wait_time_in_minutes = 5
    }
  }

  deployment_style {
    deployment_option = "WITH_TRAFFIC_CONTROL"
    deployment_type   = "BLUE_GREEN"
  }

  ecs_service {
    cluster_name = aws_ecs_cluster.deployed.name
    service_name = aws_ecs_service.web.name
  }

  load_balancer_info {
    target_group_pair_info {
      prod_traffic_route {
        listener_arns = ["arn:aws:elasticloadbalancing:us-east-1:${var.account}:listener/app/web/0123456789abcdef/1"]
      }

      test_traffic_route {
        listener_arns = ["arn:aws:elasticloadbalancing:us-east-1:${var.account}:listener/app/web/0123456789abcdef/2"]
      }

      target_group {
        name = "blue"
      }

      target_group {
        name = "green"
      }
    }
  }

  tags = { stage = var.changed ? "two" : "one" }
}
