"""Who asks decides what is seen: the access key names the account, the signature's scope the region."""

import pytest
from tasks import container

DEFINITION = {"family": "f", "containerDefinitions": [{"name": "main", "image": "busybox", "memory": 64}]}


def test_the_access_key_names_the_account(client):
    for key, account in [("123456789012", "123456789012"), ("AKIAIOSFODNN7EXAMPLE", "000000000000")]:
        identity = client("sts", key=key).get_caller_identity()
        assert (identity["Account"], identity["Arn"]) == (account, f"arn:aws:iam::{account}:root")


def test_accounts_and_regions_see_nothing_of_each_other(client, name):
    places = [(key, region) for key in ("111111111111", "222222222222") for region in ("us-east-1", "eu-west-1")]
    for key, region in places:
        ecs = client("ecs", key=key, region=region)
        assert f"cluster/{name}" not in str(ecs.list_clusters()["clusterArns"])
        cluster = ecs.create_cluster(clusterName=name)["cluster"]
        assert cluster["clusterArn"] == f"arn:aws:ecs:{region}:{key}:cluster/{name}"
        definition = ecs.register_task_definition(**{**DEFINITION, "family": name})["taskDefinition"]
        assert definition["taskDefinitionArn"] == f"arn:aws:ecs:{region}:{key}:task-definition/{name}:1"
        logs = client("logs", key=key, region=region)
        logs.create_log_group(logGroupName=name)
        [group] = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        assert group["arn"].startswith(f"arn:aws:logs:{region}:{key}:log-group:{name}")


def test_each_region_has_a_default_vpc_with_three_zones(client):
    seen = set()
    for region in ("us-east-1", "eu-central-1"):
        ec2 = client("ec2", region=region)
        [vpc] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        assert vpc["CidrBlock"] == "172.31.0.0/16"
        subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
        zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]]
        assert len(zones) == 3 and all(zone.startswith(region) for zone in zones)
        assert sorted(subnet["AvailabilityZone"] for subnet in subnets) == sorted(zones)
        groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
        assert [group["VpcId"] for group in groups] == [vpc["VpcId"]]
        seen.add(vpc["VpcId"])
    assert len(seen) == 2


def test_the_sdk_s_waiters_return_and_the_interface_is_the_task_s(ecs, ec2, tasks):
    [task] = tasks.run(container("trap 'exit 0' TERM; while :; do sleep 0.1; done"))
    soon = {"Delay": 1, "MaxAttempts": 30}
    ecs.get_waiter("tasks_running").wait(cluster=tasks.name, tasks=[task], WaiterConfig=soon)
    [attachment] = tasks.describe(task)[0]["attachments"]
    details = {detail["name"]: detail["value"] for detail in attachment["details"]}
    [interface] = ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])["NetworkInterfaces"]
    assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
    assert interface["MacAddress"] == details["macAddress"]
    assert interface["SubnetId"] == details["subnetId"]
    assert interface["Status"] == "in-use"
    ecs.stop_task(cluster=tasks.name, task=task)
    ecs.get_waiter("tasks_stopped").wait(cluster=tasks.name, tasks=[task], WaiterConfig=soon)


def test_tasks_of_two_regions_have_the_same_address_and_do_not_meet(client, name):
    from tasks import Tasks

    ran = []
    for region in ("ap-south-1", "sa-east-1"):
        tasks = Tasks(lambda service, region=region: client(service, region=region), name)
        [task] = tasks.run(container("exec httpd -f -p 8080 -h /www", stopTimeout=2))
        tasks.wait("RUNNING", task)
        ran.append((tasks, task))
    addresses = [tasks.address(task) for tasks, task in ran]
    assert addresses[0] == addresses[1]
    for tasks, task in ran:
        tasks.client("ecs").stop_task(cluster=name, task=task)
    for tasks, task in ran:
        tasks.wait("STOPPED", task)


@pytest.mark.parametrize("key", ["12345678901", "1234567890123", "anything at all"])
def test_any_other_key_is_the_default_account(client, key):
    assert client("sts", key=key).get_caller_identity()["Account"] == "000000000000"
