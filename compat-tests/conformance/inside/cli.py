"""The AWS CLI in a task, with nothing configured: it finds credentials, region and endpoint by itself."""

import json
import os
import subprocess
import urllib.request

from report import check, holds, same


def aws(*arguments: str) -> dict:
    done = subprocess.run(["/bin/aws", "--output", "json", *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@check
def cli_is_the_task_s_role() -> None:
    task = os.environ["ECS_CONTAINER_METADATA_URI_V4"].rpartition("/")[2].partition("-")[0]
    answer = aws("sts", "get-caller-identity")
    same(answer["Arn"], f"arn:aws:sts::000000000000:assumed-role/{os.environ['EXPECTED_ROLE_NAME']}/{task}")
    same(answer["Account"], "000000000000")
    holds(answer["UserId"].startswith("AROA") and answer["UserId"].endswith(f":{task}"), answer["UserId"])


@check
def cli_describes_its_own_task() -> None:
    with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task", timeout=5) as answer:
        own = json.load(answer)
    answer = aws("ecs", "describe-tasks", "--cluster", own["Cluster"], "--tasks", own["TaskARN"])
    same([task["taskArn"] for task in answer["tasks"]], [own["TaskARN"]])


@check
def cli_copies_from_s3() -> None:
    command = ["/bin/aws", "s3", "cp", f"s3://{os.environ['BUCKET']}/first.env", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    holds("first file" in done.stdout, done.stdout + done.stderr)
