# Task definitions. Between them they have every argument of the provider and every member of a container: no single one
# can, as some are for Fargate only and others not for Fargate.

locals {
  role    = "arn:aws:iam::${var.account}:role/task"
  secret  = "arn:aws:secretsmanager:us-east-1:${var.account}:secret:login-AbCdEf"
  message = var.changed ? "second" : "first"
}

resource "aws_ecs_task_definition" "fargate" {
  family                   = "fargate"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "1024"
  memory                   = "4096"
  pid_mode                 = "task"
  task_role_arn            = local.role
  execution_role_arn       = local.role
  enable_fault_injection   = true
  skip_destroy             = !var.changed
  track_latest             = true

  ephemeral_storage {
    size_in_gib = 30
  }

  runtime_platform {
    cpu_architecture        = "X86_64"
    operating_system_family = "LINUX"
  }

  volume {
    name                = "attached"
    configure_at_launch = true
  }

  volume {
    name = "scratch"
  }

  volume {
    name = "shared"

    efs_volume_configuration {
      file_system_id          = "fs-0123456789abcdef0"
      root_directory          = "/"
      transit_encryption      = "ENABLED"
      transit_encryption_port = 2999

      authorization_config {
        access_point_id = "fsap-0123456789abcdef0"
        iam             = "ENABLED"
      }
    }
  }

  proxy_configuration {
    type           = "APPMESH"
    container_name = "proxy"

    properties = {
      AppPorts         = "8080"
      EgressIgnoredIPs = "169.254.170.2,169.254.169.254"
      IgnoredUID       = "1337"
      ProxyEgressPort  = 15001
      ProxyIngressPort = 15000
    }
  }

  container_definitions = jsonencode([
    {
      name              = "main"
      image             = "busybox:latest"
      cpu               = 256
      memory            = 1024
      memoryReservation = 512
      essential         = true
      entryPoint        = ["/bin/sh", "-c"]
      command           = ["httpd -f"]
      workingDirectory  = "/www"
      user              = "0"
      environment = [
        { name = "LATER", value = "2" },
        { name = "MESSAGE", value = "hello" },
      ]
      environmentFiles       = [{ type = "s3", value = "arn:aws:s3:::settings/main.env" }]
      secrets                = [{ name = "LOGIN", valueFrom = local.secret }]
      readonlyRootFilesystem = true
      interactive            = true
      pseudoTerminal         = true
      portMappings           = [{ name = "web", containerPort = 8080, hostPort = 8080, protocol = "tcp", appProtocol = "http" }]
      mountPoints = [
        { sourceVolume = "attached", containerPath = "/attached", readOnly = false },
        { sourceVolume = "scratch", containerPath = "/scratch", readOnly = false },
        { sourceVolume = "shared", containerPath = "/shared", readOnly = true },
      ]
      volumesFrom           = [{ sourceContainer = "proxy", readOnly = true }]
      dependsOn             = [{ containerName = "proxy", condition = "HEALTHY" }]
      startTimeout          = 60
      stopTimeout           = 30
      versionConsistency    = "disabled"
      repositoryCredentials = { credentialsParameter = local.secret }
      dockerLabels          = { tier = "web" }
      ulimits               = [{ name = "nofile", softLimit = 2048, hardLimit = 4096 }]
      systemControls        = [{ namespace = "net.core.somaxconn", value = "512" }]
      linuxParameters = {
        capabilities       = { add = ["SYS_PTRACE"], drop = ["NET_RAW"] }
        initProcessEnabled = true
      }
      restartPolicy = { enabled = true, ignoredExitCodes = [3], restartAttemptPeriod = 120 }
      healthCheck   = { command = ["CMD-SHELL", "true"], interval = 10, timeout = 4, retries = 2, startPeriod = 5 }
      logConfiguration = {
        logDriver     = "awslogs"
        options       = { "awslogs-group" = "full", "awslogs-region" = "us-east-1", "awslogs-stream-prefix" = "main" }
        secretOptions = []
      }
    },
    {
      name        = "proxy"
      image       = "busybox:latest"
      essential   = false
      user        = "1337"
      healthCheck = { command = ["CMD", "/bin/true"] }
    },
    {
      name                  = "router"
      image                 = "busybox:latest"
      essential             = false
      firelensConfiguration = { type = "fluentbit", options = { "enable-ecs-log-metadata" = "true" } }
    },
    {
      name             = "routed"
      image            = "busybox:latest"
      essential        = false
      logConfiguration = { logDriver = "awsfirelens", options = { Name = "stdout" } }
    },
  ])

  # Nothing else of this definition changes: a tag needs no new revision.
  tags = {
    stage = local.message
  }
}

resource "aws_ecs_task_definition" "ec2" {
  family                   = "ec2"
  requires_compatibilities = ["EC2"]
  network_mode             = "bridge"
  cpu                      = "512"
  memory                   = "1024"
  ipc_mode                 = "task"
  pid_mode                 = "host"
  task_role_arn            = local.role
  execution_role_arn       = local.role

  inference_accelerator {
    device_name = "device"
    device_type = "eia1.medium"
  }

  placement_constraints {
    type       = "memberOf"
    expression = "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]"
  }

  runtime_platform {
    cpu_architecture        = "ARM64"
    operating_system_family = "LINUX"
  }

  volume {
    name      = "host"
    host_path = "/srv/data"
  }

  volume {
    name = "docker"

    docker_volume_configuration {
      scope         = "shared"
      autoprovision = true
      driver        = "local"
      driver_opts   = { type = "tmpfs", device = "tmpfs" }
      labels        = { kind = "cache" }
    }
  }

  container_definitions = jsonencode([
    {
      name                  = "main"
      image                 = "busybox:latest"
      memory                = 256
      essential             = true
      privileged            = true
      disableNetworking     = false
      hostname              = "worker"
      links                 = ["other:neighbour"]
      dnsServers            = ["10.0.0.2"]
      dnsSearchDomains      = ["example.internal"]
      extraHosts            = [{ hostname = "database", ipAddress = "10.0.0.9" }]
      dockerSecurityOptions = ["no-new-privileges"]
      resourceRequirements = [
        { type = "GPU", value = "1" },
        { type = "InferenceAccelerator", value = "device" },
      ]
      environment = [{ name = "MESSAGE", value = local.message }]
      portMappings = [
        { containerPort = 80, hostPort = 8080, protocol = "tcp" },
        { containerPort = 53, hostPort = 0, protocol = "udp" },
      ]
      mountPoints = [
        { sourceVolume = "host", containerPath = "/host" },
        { sourceVolume = "docker", containerPath = "/docker" },
      ]
      linuxParameters = {
        devices          = [{ hostPath = "/dev/fuse", containerPath = "/dev/fuse", permissions = ["read", "write"] }]
        maxSwap          = 128
        sharedMemorySize = 64
        swappiness       = 10
        tmpfs            = [{ containerPath = "/run/cache", size = 32, mountOptions = ["noexec"] }]
      }
    },
    {
      name      = "other"
      image     = "busybox:latest"
      memory    = 128
      essential = false
    },
  ])
}

resource "aws_ecs_task_definition" "windows" {
  family                   = "windows"
  requires_compatibilities = ["EC2"]
  memory                   = "2048"
  cpu                      = "1024"
  execution_role_arn       = local.role

  runtime_platform {
    operating_system_family = "WINDOWS_SERVER_2022_CORE"
  }

  volume {
    name = "files"

    fsx_windows_file_server_volume_configuration {
      file_system_id = "fs-0123456789abcdef0"
      root_directory = "\\data"

      authorization_config {
        credentials_parameter = local.secret
        domain                = "example.internal"
      }
    }
  }

  container_definitions = jsonencode([
    {
      name            = "main"
      image           = "windows:latest"
      essential       = true
      credentialSpecs = ["credentialspec:arn:aws:s3:::settings/main.json"]
      environment     = [{ name = "MESSAGE", value = local.message }]
      mountPoints     = [{ sourceVolume = "files", containerPath = "c:\\files" }]
    },
  ])
}
