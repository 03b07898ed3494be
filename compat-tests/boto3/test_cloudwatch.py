"""CloudWatch's alarms with boto3, which asks in JSON, though its model prefers RPC v2 with CBOR: so does JavaScript's SDK."""

import pytest

METRIC = {
    "Namespace": "App",
    "MetricName": "Errors",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0.5,
    "ComparisonOperator": "GreaterThanThreshold",
}


@pytest.fixture
def cloudwatch(client):
    return client("cloudwatch")


def test_an_alarm_is_what_it_was_made_and_says_what_it_is_told(cloudwatch, name):
    dimensions = [{"Name": "Stage", "Value": "tést"}]
    cloudwatch.put_metric_alarm(AlarmName=name, Dimensions=dimensions, Tags=[{"Key": "a", "Value": "b"}], **METRIC)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="quiet", StateReasonData='{"load": 1}')
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm.items() >= {**METRIC, "Dimensions": dimensions, "StateValue": "OK", "StateReason": "quiet"}.items()
    assert alarm["StateUpdatedTimestamp"] >= alarm["AlarmConfigurationUpdatedTimestamp"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [{"Key": "a", "Value": "b"}]
    history = cloudwatch.describe_alarm_history(AlarmName=name)["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in history] == [
        "Alarm updated from INSUFFICIENT_DATA to OK",
        f'Alarm "{name}" created',
    ]
    assert [each["AlarmName"] for each in cloudwatch.describe_alarms_for_metric(
        MetricName="Errors", Namespace="App", Dimensions=dimensions
    )["MetricAlarms"] if each["AlarmName"] == name] == [name]
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


def test_alarms_come_in_pages(cloudwatch, name):
    names = [f"{name}-{number}" for number in range(5)]
    for each in names:
        cloudwatch.put_metric_alarm(AlarmName=each, **METRIC)
    pages = list(cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=name, PaginationConfig={"PageSize": 2}))
    assert [len(page["MetricAlarms"]) for page in pages] == [2, 2, 1]
    assert [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]] == names
    cloudwatch.delete_alarms(AlarmNames=names)


def test_errors_have_their_exceptions_and_codes(cloudwatch, client):
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="")
    with pytest.raises(cloudwatch.exceptions.InvalidNextToken):
        cloudwatch.describe_alarms(NextToken="x")
    with pytest.raises(cloudwatch.exceptions.ClientError, match=r"\(ValidationError\).*'alarmName'"):
        client("cloudwatch", validates=False).put_metric_alarm(**METRIC)
    with pytest.raises(cloudwatch.exceptions.ClientError, match=r"\(NotImplemented\)"):
        cloudwatch.list_metrics()
