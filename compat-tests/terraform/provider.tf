# The provider, with Neargate in AWS's place. The tests put this beside the files of each scenario.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

variable "endpoint" {
  type = string
}

# An access key of twelve digits is the account that the scenario has for itself.
variable "account" {
  type = string
}

variable "subnets" {
  type = list(string)
}

variable "security_group" {
  type = string
}

# False when the scenario is made, true when it is changed in place.
variable "changed" {
  type    = bool
  default = false
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = var.account
  secret_key                  = "test"
  # Users have 25. Go's client loses an answer now and then on a machine this busy: it closes the connection that it reads from.
  max_retries                 = 3
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true

  default_tags {
    tags = { owner = "compat" }
  }

  endpoints {
    cloudwatch     = var.endpoint
    codedeploy     = var.endpoint
    ec2            = var.endpoint
    ecr            = var.endpoint
    ecrpublic      = var.endpoint
    ecs            = var.endpoint
    efs            = var.endpoint
    events         = var.endpoint
    iam            = var.endpoint
    logs           = var.endpoint
    scheduler      = var.endpoint
    secretsmanager = var.endpoint
    ssm            = var.endpoint
    sts            = var.endpoint
  }
}
