"""Terraform and its AWS provider against the server of the session: what they made, they find unchanged.

Each folder is a scenario with an account of its own. It is made, planned again, changed, planned again and destroyed.
Terraform plans nothing where the server gives back what it was given, and an update where the server can change it.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from terraform import TO_CHANGE, ProviderMissing, Terraform, changes_in, paths_in, values_of
from waiting import until

HERE = Path(__file__).parent
# How long all scenarios may take. Each has some ten starts of the provider, which takes five seconds of a processor for one.
SCENARIOS_S = 600
# How many of them live at a time: more only take memory, up to a gigabyte each.
SIDE_BY_SIDE_MAX = 5
UPDATE, REPLACE = ["update"], ["delete", "create"]
ACCOUNTS = {
    "records": "100000000001",
    "running": "100000000002",
    "iam": "100000000003",
    "secrets": "100000000004",
    "efs": "100000000005",
    "ecr": "100000000006",
    "rollouts": "100000000007",
    "events": "100000000010",
    "codedeploy": "100000000011",
}
# The provider's own way with task definitions: every change is a new revision, but for tags.
CHANGES = {
    "records": {
        "aws_ecs_account_setting_default.insights": UPDATE,
        "aws_ecs_account_setting_default.trunking": UPDATE,
        "aws_ecs_capacity_provider.group": UPDATE,
        "aws_ecs_cluster.full": UPDATE,
        "aws_ecs_cluster_capacity_providers.full": UPDATE,
        "aws_ecs_tag.separate": UPDATE,
        "aws_ecs_task_definition.ec2": REPLACE,
        "aws_ecs_task_definition.fargate": UPDATE,
        "aws_ecs_task_definition.windows": REPLACE,
    },
    "running": {
        "aws_ecs_cluster.read": UPDATE,
        "aws_ecs_service.empty": UPDATE,
        "aws_ecs_service.two": UPDATE,
        "aws_ecs_tag.two": UPDATE,
        "aws_ecs_task_definition.web": REPLACE,
        "aws_ecs_task_set.external": UPDATE,
    },
    "rollouts": {
        "aws_cloudwatch_metric_alarm.errors": UPDATE,
        "aws_cloudwatch_metric_alarm.ratio": UPDATE,
        "aws_ecs_service.rolling": UPDATE,
        "aws_ecs_task_definition.api": REPLACE,
        "aws_ecs_task_set.external": UPDATE,
    },
    "codedeploy": {
        "aws_codedeploy_app.shop": UPDATE,
        "aws_codedeploy_deployment_group.web": UPDATE,
    },
    "iam": {
        "aws_iam_instance_profile.node": UPDATE,
        "aws_iam_policy.read": UPDATE,
        "aws_iam_role.execution": UPDATE,
        "aws_iam_role.task": UPDATE,
        "aws_iam_role_policy.task": UPDATE,
    },
    "secrets": {
        "aws_secretsmanager_secret.database": UPDATE,
        "aws_secretsmanager_secret_version.bytes": REPLACE,
        "aws_secretsmanager_secret_version.database": REPLACE,
        "aws_ssm_parameter.list": UPDATE,
        "aws_ssm_parameter.password": UPDATE,
        "aws_ssm_parameter.text": UPDATE,
    },
    "efs": {
        "aws_efs_access_point.web": UPDATE,
        "aws_efs_backup_policy.data": UPDATE,
        "aws_efs_file_system.data": UPDATE,
        "aws_efs_file_system_policy.data": UPDATE,
    },
    "events": {
        "aws_cloudwatch_event_api_destination.hook": UPDATE,
        "aws_cloudwatch_event_bus.orders": UPDATE,
        "aws_cloudwatch_event_connection.hook": UPDATE,
        "aws_cloudwatch_event_rule.nightly": UPDATE,
        "aws_cloudwatch_event_rule.tasks": UPDATE,
        "aws_cloudwatch_event_target.job": UPDATE,
        "aws_cloudwatch_log_group.events": UPDATE,
        "aws_cloudwatch_log_resource_policy.events": UPDATE,
        "aws_scheduler_schedule.job": UPDATE,
    },
    "ecr": {
        "aws_ecr_account_setting.scan": UPDATE,
        "aws_ecr_lifecycle_policy.web": REPLACE,
        "aws_ecr_pull_through_cache_rule.hub": UPDATE,
        "aws_ecr_pull_through_cache_rule.other": UPDATE,
        "aws_ecr_registry_policy.registry": UPDATE,
        "aws_ecr_registry_scanning_configuration.registry": UPDATE,
        "aws_ecr_replication_configuration.registry": UPDATE,
        "aws_ecr_repository.sealed_by_key": UPDATE,
        "aws_ecr_repository.web": UPDATE,
        "aws_ecr_repository_creation_template.team": UPDATE,
        "aws_ecr_repository_policy.web": UPDATE,
        "aws_ecrpublic_repository.tool": UPDATE,
        "aws_ecrpublic_repository_policy.tool": UPDATE,
    },
}

# What the services have of scenarios that were changed.
SEEN = {
    "iam": {
        "attached": {
            "AWSServiceRoleForECS": ["AmazonECSServiceRolePolicy"],
            "execution": ["AmazonECSTaskExecutionRolePolicy"],
            "task": ["read"],
        },
        "trusted": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"],
        "may": ["s3:GetObject", "s3:ListBucket"],
        "stage": "stage two",
        "hours": 2,
        "boundary": None,
        "profile": ["execution"],
        "versions": 2,
        "same role": True,
        "account": ACCOUNTS["iam"],
    },
    "secrets": {
        "database": {"username": "app", "password": "password-2"},
        "bytes": b"bytes 2",
        "description": "revision 2",
        "parameters": {"/app/text": ("value 2", 2), "app-list": ("a,b,2", 2), "/app/password": ("password-2", 2)},
        "read": {
            "username": "app",
            "parameters": ["/app/password", "/app/text"],
            "secret_name": "app/database",
            "password_version": 2,
        },
    },
    "efs": {
        "throughput": ("provisioned", 16.0),
        "targets": 2,
        "lifecycle": [{"TransitionToIA": "AFTER_60_DAYS"}],
        "backup": "DISABLED",
        "may": "elasticfilesystem:ClientMount",
        "root": "/web",
        "stages": {"two"},
    },
    "events": {
        "log": ["arn:aws:logs:us-east-1:100000000010:log-group:/aws/events/tasks"],
        "log tags": {"owner": "compat", "stage": "second"},
        "retention": 14,
        "writers": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "nightly": ("rate(2 hours)", "DISABLED"),
        "job": {"containerOverrides": [{"name": "main", "command": ["/bin/echo", "second"]}]},
        "bus": "second",
        "rate": 20,
        "schedule": ("rate(5 hours)", "Europe/Berlin", 2),
        "once": "ENABLED",
    },
    "ecr": {
        "mutability": {"plain": "MUTABLE", "team/sealed": "MUTABLE", "team/sealed-by-key": "MUTABLE", "team/web": "MUTABLE"},
        "encryption": {"plain": "AES256", "team/sealed": "KMS", "team/sealed-by-key": "KMS", "team/web": "AES256"},
        "stage": "two",
        "days": 30,
        "may": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        "scan type": "ENHANCED",
        "replicated": "team/",
        "image": ["v1"],
        "tool": "A better tool.",
        "read": {
            "repository": "team/web",
            "repositories": ["plain", "team/sealed", "team/sealed-by-key", "team/web"],
            "users": ["AWS", "AWS"],
            "upstream": "registry-1.docker.io",
            "template": "for the team",
            "same image": True,
            "tagged": ["v1"],
        },
    },
}

pytestmark = pytest.mark.timeout(SCENARIOS_S + 60)


@dataclass
class Life:
    """What was seen of a scenario, from its making to its end."""

    plan: dict
    arguments: set[str]
    seen: dict[str, object]
    left: dict[str, list]


def live(stack: Terraform, scenario: str, client) -> Life:
    """Makes a scenario, changes it and destroys it. After both, Terraform must find what it left."""
    account = ACCOUNTS[scenario]
    stack.apply()
    stack.expect_no_drift()
    if scenario in BETWEEN:
        BETWEEN[scenario](partial(client, key=account))
    stack.variables["changed"] = True
    assert stack.plan("change") == TO_CHANGE
    plan = stack.show("change")
    stack.apply("change")
    stack.expect_no_drift()
    seen = LOOKS[scenario](stack, partial(client, key=account))
    arguments = stack.arguments("aws_ecs_task_definition") if scenario == "records" else set()
    stack.destroy()
    return Life(plan, arguments, seen, left_of(client, account))


def look_at_records(_: Terraform, client) -> dict[str, object]:
    """Returns what the server has of the scenario, in its own words."""
    ecs = client("ecs")
    cluster = ecs.describe_clusters(clusters=["full"], include=["CONFIGURATIONS", "SETTINGS", "TAGS"])["clusters"][0]
    provider = ecs.describe_capacity_providers(capacityProviders=["group"])["capacityProviders"][0]
    settings = ecs.list_account_settings()["settings"]
    tagged = ecs.describe_clusters(clusters=["tagged"], include=["TAGS"])["clusters"][0]
    families = ("ec2", "fargate", "windows")
    definitions = [ecs.describe_task_definition(taskDefinition=family)["taskDefinition"] for family in families]
    command = cluster["configuration"]["executeCommandConfiguration"]
    return {
        "insights": cluster["settings"],
        "log group": command["logConfiguration"]["cloudWatchLogGroupName"],
        "providers": sorted(cluster["capacityProviders"]),
        "target": provider["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"],
        "defaults": {setting["name"]: setting["value"] for setting in settings},
        "separate tag": tags_in(tagged)["separate"],
        "revisions": {definition["family"]: definition["revision"] for definition in definitions},
    }


def look_at_running(stack: Terraform, client) -> dict[str, object]:
    """Returns what runs, and what the data sources read of it."""
    ecs = client("ecs")
    names = ["empty", "external", "two"]
    services = ecs.describe_services(cluster="services", services=names, include=["TAGS"])["services"]
    services = {service["serviceName"]: service for service in services}
    task_set = services["external"]["taskSets"][0]
    two = ecs.list_tasks(cluster="services", serviceName="two", desiredStatus="RUNNING")["taskArns"]
    tasks = ecs.describe_tasks(cluster="services", tasks=two)["tasks"]
    return {
        "counts": {name: (service["desiredCount"], service["runningCount"]) for name, service in services.items()},
        "statuses": [task["lastStatus"] for task in tasks],
        "revisions": {task["taskDefinitionArn"].rpartition("/")[2] for task in tasks},
        "executes commands": services["empty"]["enableExecuteCommand"],
        "separate tag": tags_in(services["two"])["separate"],
        "scale": (task_set["scale"], task_set["computedDesiredCount"]),
        **stack.outputs(),
    }


def look_at_rollouts(_: Terraform, client) -> dict[str, object]:
    """Returns how the services and the alarms ended up."""
    ecs = client("ecs")
    described = ecs.describe_services(cluster="rollouts", services=["rolling", "external"])["services"]
    rolling, external = described
    [deployment] = rolling["deployments"]
    arns = ecs.list_tasks(cluster="rollouts", serviceName="rolling")["taskArns"]
    tasks = ecs.describe_tasks(cluster="rollouts", tasks=arns)["tasks"]
    alarms = client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {
        "rollout": (deployment["rolloutState"], deployment["runningCount"], deployment["failedTasks"]),
        "providers": sorted(task["capacityProviderName"] for task in tasks),
        "revisions": {task["taskDefinitionArn"].rpartition("/")[2] for task in tasks},
        "alarms of the service": sorted(rolling["deploymentConfiguration"]["alarms"]["alarmNames"]),
        "task set": (external["taskSets"][0]["stabilityStatus"], external["taskSets"][0]["runningCount"]),
        "alarms": {alarm["AlarmName"]: (alarm["Threshold"], alarm["ActionsEnabled"]) for alarm in alarms},
        "periods": sorted(query["MetricStat"]["Period"] for query in alarms[1]["Metrics"] if "MetricStat" in query),
    }


def look_at_codedeploy(_: Terraform, client) -> dict[str, object]:
    """Returns how the group's deployments would go."""
    deploy = client("codedeploy")
    group = deploy.get_deployment_group(applicationName="shop", deploymentGroupName="web")["deploymentGroupInfo"]
    config = deploy.get_deployment_config(deploymentConfigName=group["deploymentConfigName"])["deploymentConfigInfo"]
    waits = group["blueGreenDeploymentConfiguration"]
    return {
        "routing": config["trafficRoutingConfig"],
        "ready": waits["deploymentReadyOption"],
        "rollback": sorted(group["autoRollbackConfiguration"]["events"]),
        "applications": deploy.list_applications()["applications"],
    }


def look_at_iam(stack: Terraform, client) -> dict[str, object]:
    """Returns the roles as IAM has them."""
    iam = client("iam")
    names = sorted(role["RoleName"] for role in iam.list_roles()["Roles"])
    task = iam.get_role(RoleName=next(name for name in names if name.startswith("task-")))["Role"]
    attached = {name: iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] for name in names}
    own = iam.get_role_policy(RoleName=task["RoleName"], PolicyName="own")
    profile = iam.get_instance_profile(InstanceProfileName="node")["InstanceProfile"]
    policy = f"arn:aws:iam::{ACCOUNTS['iam']}:policy/team/read"
    read = stack.outputs()
    return {
        "attached": {name.split("-")[0]: [each["PolicyName"] for each in found] for name, found in attached.items()},
        "trusted": sorted(task["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]),
        "may": sorted(own["PolicyDocument"]["Statement"][0]["Action"]),
        "stage": task["Description"],
        "hours": task["MaxSessionDuration"] / 3600,
        "boundary": task.get("PermissionsBoundary"),
        "profile": [role["RoleName"] for role in profile["Roles"]],
        "versions": len(iam.list_policy_versions(PolicyArn=policy)["Versions"]),
        "same role": read["task_role_arn"] == task["Arn"],
        "account": read["account"],
    }


def look_at_secrets(stack: Terraform, client) -> dict[str, object]:
    """Returns the values as the services have them, and what the data sources read."""
    secrets, ssm = client("secretsmanager"), client("ssm")
    bytes_name = next(each["Name"] for each in secrets.list_secrets()["SecretList"] if each["Name"] != "app/database")
    parameters = ssm.get_parameters(Names=["/app/text", "app-list", "/app/password"], WithDecryption=True)["Parameters"]
    return {
        "database": json.loads(secrets.get_secret_value(SecretId="app/database")["SecretString"]),
        "bytes": secrets.get_secret_value(SecretId=bytes_name, VersionStage="MINE")["SecretBinary"],
        "description": secrets.describe_secret(SecretId="app/database")["Description"],
        "parameters": {each["Name"]: (each["Value"], each["Version"]) for each in parameters},
        "read": stack.outputs(),
    }


def look_at_efs(_: Terraform, client) -> dict[str, object]:
    """Returns the file systems as EFS has them."""
    efs = client("efs")
    [data] = efs.describe_file_systems(CreationToken="data")["FileSystems"]
    of_data = {"FileSystemId": data["FileSystemId"]}
    [point] = efs.describe_access_points(**of_data)["AccessPoints"]
    return {
        "throughput": (data["ThroughputMode"], data.get("ProvisionedThroughputInMibps")),
        "targets": data["NumberOfMountTargets"],
        "lifecycle": efs.describe_lifecycle_configuration(**of_data)["LifecyclePolicies"],
        "backup": efs.describe_backup_policy(**of_data)["BackupPolicy"]["Status"],
        "may": json.loads(efs.describe_file_system_policy(**of_data)["Policy"])["Statement"][0]["Action"],
        "root": point["RootDirectory"]["Path"],
        "stages": {tag["Value"] for tag in [*data["Tags"], *point["Tags"]] if tag["Key"] == "stage"},
    }


def push_an_image(client) -> None:
    """Puts an image of one layer into a repository of the scenario, by ECR's own API."""
    ecr, name = client("ecr"), "team/web"

    def upload(data: bytes, media_type: str) -> dict[str, object]:
        upload_id = ecr.initiate_layer_upload(repositoryName=name)["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(data) - 1, "layerPartBlob": data}
        ecr.upload_layer_part(repositoryName=name, uploadId=upload_id, **part)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        ecr.complete_layer_upload(repositoryName=name, uploadId=upload_id, layerDigests=[digest])
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": upload(b"{}", f"{oci}.config.v1+json"),
        "layers": [upload(b"a layer", f"{oci}.layer.v1.tar")],
    }
    ecr.put_image(repositoryName=name, imageManifest=json.dumps(manifest), imageTag="v1")


def look_at_ecr(stack: Terraform, client) -> dict[str, object]:
    """Returns the repositories and the registry as ECR has them, and what the data sources read."""
    ecr, public = client("ecr"), client("ecr-public")
    repositories = {each["repositoryName"]: each for each in ecr.describe_repositories()["repositories"]}
    [image] = ecr.describe_images(repositoryName="team/web")["imageDetails"]
    lifecycle = json.loads(ecr.get_lifecycle_policy(repositoryName="team/web")["lifecyclePolicyText"])
    policy = json.loads(ecr.get_repository_policy(repositoryName="team/web")["policyText"])
    tags = ecr.list_tags_for_resource(resourceArn=repositories["team/web"]["repositoryArn"])["tags"]
    rule = ecr.describe_registry()["replicationConfiguration"]["rules"][0]
    read = stack.outputs()
    return {
        "mutability": {name: each["imageTagMutability"] for name, each in repositories.items()},
        "encryption": {name: each["encryptionConfiguration"]["encryptionType"] for name, each in repositories.items()},
        "stage": next(tag["Value"] for tag in tags if tag["Key"] == "stage"),
        "days": lifecycle["rules"][0]["selection"]["countNumber"],
        "may": policy["Statement"][0]["Action"],
        "scan type": ecr.get_registry_scanning_configuration()["scanningConfiguration"]["scanType"],
        "replicated": rule["repositoryFilters"][0]["filter"],
        "image": image["imageTags"],
        "tool": public.get_repository_catalog_data(repositoryName="tool")["catalogData"]["description"],
        "read": {
            "repository": read["repository_url"].partition("/")[2],
            "same image": read["latest"] == image["imageDigest"],
            **{name: read[name] for name in ("repositories", "users", "upstream", "template", "tagged")},
        },
    }


def look_at_events(_: Terraform, client) -> dict[str, object]:
    """Returns the log group, the rules, their targets and the schedules as the services have them."""
    events, scheduler, logs = client("events"), client("scheduler"), client("logs")
    [log] = events.list_targets_by_rule(Rule="tasks")["Targets"]
    [group] = logs.describe_log_groups(logGroupNamePrefix="/aws/events/")["logGroups"]
    [policy] = logs.describe_resource_policies()["resourcePolicies"]
    nightly = events.describe_rule(Name="nightly")
    job = scheduler.get_schedule(GroupName="jobs", Name="job")
    return {
        "log": [log["Arn"]],
        "log tags": logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"],
        "retention": group["retentionInDays"],
        "writers": json.loads(policy["policyDocument"])["Statement"][0]["Action"],
        "nightly": (nightly["ScheduleExpression"], nightly["State"]),
        "job": json.loads(events.list_targets_by_rule(Rule="nightly")["Targets"][0]["Input"]),
        "bus": events.describe_event_bus(Name="orders")["Description"],
        "rate": events.describe_api_destination(Name="hook")["InvocationRateLimitPerSecond"],
        "schedule": (
            job["ScheduleExpression"],
            job["ScheduleExpressionTimezone"],
            job["Target"]["EcsParameters"]["TaskCount"],
        ),
        "once": scheduler.get_schedule(Name="once")["State"],
    }


# What happens between the making of a scenario and its change.
BETWEEN = {"ecr": push_an_image}

LOOKS = {
    "records": look_at_records,
    "running": look_at_running,
    "rollouts": look_at_rollouts,
    "iam": look_at_iam,
    "secrets": look_at_secrets,
    "efs": look_at_efs,
    "ecr": look_at_ecr,
    "events": look_at_events,
    "codedeploy": look_at_codedeploy,
}


def tags_in(resource: dict) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in resource["tags"]}


def left_of(client, account: str) -> dict[str, list]:
    """Returns what an account still has that a destroyed scenario could have made."""
    services = ("ecs", "ec2", "iam", "events", "logs")
    ecs, ec2, iam, events, logs = (client(service, key=account) for service in services)
    providers = ecs.describe_capacity_providers()["capacityProviders"]
    own = [provider for provider in providers if not provider["name"].startswith("FARGATE")]
    until(lambda: ec2.describe_network_interfaces()["NetworkInterfaces"] == [], "no network interfaces to be left")
    return {
        "clusters": ecs.list_clusters()["clusterArns"],
        "definitions": ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"],
        "capacity providers": [provider["name"] for provider in own if provider["status"] == "ACTIVE"],
        # The provider cannot remove a setting of the account: it turns it off.
        "settings": [setting["name"] for setting in ecs.list_account_settings()["settings"] if setting["value"] != "disabled"],
        "roles": [role["RoleName"] for role in iam.list_roles()["Roles"]],
        "policies": [policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]],
        "profiles": [profile["InstanceProfileName"] for profile in iam.list_instance_profiles()["InstanceProfiles"]],
        # One that is deleted with time to be restored is not listed.
        "secrets": [secret["Name"] for secret in client("secretsmanager", key=account).list_secrets()["SecretList"]],
        "parameters": [each["Name"] for each in client("ssm", key=account).describe_parameters()["Parameters"]],
        "file systems": client("efs", key=account).describe_file_systems()["FileSystems"],
        "log groups": [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]],
        "log policies": logs.describe_resource_policies()["resourcePolicies"],
        "buses": [bus["Name"] for bus in events.list_event_buses()["EventBuses"] if bus["Name"] != "default"],
        "rules": events.list_rules()["Rules"],
        "connections": events.list_connections()["Connections"],
        "schedules": client("scheduler", key=account).list_schedules()["Schedules"],
        "repositories": client("ecr", key=account).describe_repositories()["repositories"],
        "cache rules": client("ecr", key=account).describe_pull_through_cache_rules()["pullThroughCacheRules"],
        "templates": client("ecr", key=account).describe_repository_creation_templates()["repositoryCreationTemplates"],
        "replication": client("ecr", key=account).describe_registry()["replicationConfiguration"]["rules"],
        "applications": client("codedeploy", key=account).list_applications()["applications"],
        "alarms": client("cloudwatch", key=account).describe_alarms()["MetricAlarms"],
        "public repositories": client("ecr-public", key=account).describe_repositories()["repositories"],
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Terraform:
    """A folder with the provider. Where there is none, the tests are skipped, but not in continuous integration."""
    try:
        return Terraform.prepare(tmp_path_factory.mktemp("provider"), HERE / "provider.tf")
    except ProviderMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def lives(installed, neargate, client, tmp_path_factory) -> Iterator[dict[str, Future]]:
    """Lets scenarios live side by side: where one waits, others go on."""
    folder = tmp_path_factory.mktemp("scenarios")

    def start(scenario: str) -> Life:
        account = ACCOUNTS[scenario]
        ec2 = client("ec2", key=account)
        variables = {
            "endpoint": neargate.endpoint,
            "account": account,
            "subnets": [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2],
            "security_group": ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
            "changed": False,
        }
        return live(installed.copy(folder / scenario, HERE / scenario, variables), scenario, client)

    with ThreadPoolExecutor(SIDE_BY_SIDE_MAX) as pool:
        yield {scenario: pool.submit(start, scenario) for scenario in ACCOUNTS}


@pytest.fixture(scope="module")
def records(lives) -> Life:
    """Clusters, capacity providers, task definitions, tags and settings."""
    return lives["records"].result(SCENARIOS_S)


@pytest.fixture(scope="module")
def running(lives) -> Life:
    """Services, a task set, and data sources."""
    return lives["running"].result(SCENARIOS_S)


def test_records_change_in_place_without_drift(records):
    assert changes_in(records.plan) == CHANGES["records"]
    assert records.seen == {
        "insights": [{"name": "containerInsights", "value": "enhanced"}],
        "log group": "commands-2",
        "providers": ["FARGATE", "FARGATE_SPOT"],
        "target": 90,
        "defaults": {"awsvpcTrunking": "disabled", "containerInsights": "enhanced"},
        "separate tag": "second",
        "revisions": {"ec2": 2, "fargate": 1, "windows": 2},
    }


def test_task_definitions_have_every_argument(records, ecs):
    definitions = values_of(records.plan, "aws_ecs_task_definition")
    written = set().union(*(paths_in(definition) for definition in definitions))
    assert records.arguments - written == set()
    containers = [each for definition in definitions for each in json.loads(definition["container_definitions"])]
    members = ecs.meta.service_model.shape_for("ContainerDefinition").members
    assert set(members) - set().union(*containers) == set()


def test_services_and_a_task_set_change_in_place_without_drift(running):
    assert changes_in(running.plan) == CHANGES["running"]
    seen = {name: value for name, value in running.seen.items() if name != "read"}
    assert seen == {
        "counts": {"empty": (0, 0), "external": (1, 1), "two": (2, 2)},
        "statuses": ["RUNNING", "RUNNING"],
        "revisions": {"web:2"},
        "executes commands": True,
        "separate tag": "second",
        "scale": ({"unit": "PERCENT", "value": 50.0}, 1),
    }


def test_services_roll_over_while_terraform_waits(lives):
    life = lives["rollouts"].result(SCENARIOS_S)
    assert changes_in(life.plan) == CHANGES["rollouts"]
    assert life.seen == {
        "rollout": ("COMPLETED", 2, 0),
        "providers": ["FARGATE", "FARGATE_SPOT"],
        "revisions": {"api:2"},
        "alarms of the service": ["errors", "ratio"],
        "task set": ("STEADY_STATE", 1),
        "alarms": {"errors": (1.5, False), "ratio": (0.1, True)},
        "periods": [120, 120],
    }


def test_what_codedeploy_deploys_with_is_made_changed_and_destroyed(lives):
    life = lives["codedeploy"].result(SCENARIOS_S)
    assert changes_in(life.plan) == CHANGES["codedeploy"]
    assert life.seen == {
        "routing": {"type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 20, "linearInterval": 2}},
        "ready": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 30},
        "rollback": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"],
        "applications": ["shop"],
    }


def test_data_sources_read_what_the_resources_made(running):
    assert running.seen["read"] == {
        "cluster_status": "ACTIVE",
        "cluster_setting": "enabled",
        "cluster_stage": "second",
        "family": "read",
        "revision": 1,
        "same_definition": True,
        "cpu": "256",
        "image": "busybox:latest",
        "image_digest": "latest",
        "container_cpu": 128,
        "container_memory": 256,
        "message": "hello",
        "label": "web",
        "desired_count": 0,
        "launch_type": "FARGATE",
        "tasks": 2,
    }


@pytest.mark.parametrize("scenario", ["iam", "secrets", "efs", "ecr", "events"])
def test_what_tasks_need_changes_in_place_without_drift(lives, scenario):
    life = lives[scenario].result(SCENARIOS_S)
    assert changes_in(life.plan) == CHANGES[scenario]
    assert life.seen == SEEN[scenario]


@pytest.mark.parametrize("scenario", ACCOUNTS)
def test_destroyed_scenarios_leave_nothing(lives, scenario):
    left = lives[scenario].result(SCENARIOS_S).left
    assert {what: found for what, found in left.items() if found} == {}
