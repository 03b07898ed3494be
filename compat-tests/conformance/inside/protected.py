"""A task of a service protects itself."""

import json
import os
import urllib.request

from report import check, holds, same

STATE = os.environ["ECS_AGENT_URI"] + "/task-protection/v1/state"


def put(body: dict) -> dict:
    request = urllib.request.Request(STATE, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["protection"]


@check
def a_task_of_a_service_protects_itself() -> None:
    answer = put({"ProtectionEnabled": True, "ExpiresInMinutes": 60})
    same(answer["ProtectionEnabled"], True)
    holds(answer["ExpirationDate"], answer)
    with urllib.request.urlopen(STATE, timeout=10) as seen:
        same(json.load(seen)["protection"]["ProtectionEnabled"], True)


@check
def a_task_of_a_service_ends_its_protection() -> None:
    same(put({"ProtectionEnabled": False})["ProtectionEnabled"], False)


@check
def metadata_names_the_service() -> None:
    with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task", timeout=5) as answer:
        same(json.load(answer)["ServiceName"], os.environ["EXPECTED_SERVICE"])
