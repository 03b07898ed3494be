// The AWS SDK for JavaScript v3 speaks RPC v2 with CBOR to CloudWatch: an alarm from its making to its end, and errors.
//
// NEARGATE_ENDPOINT is where the server is; `test_javascript.py` starts one and sets it.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, test } from "node:test";

import {
  CloudWatchClient,
  CloudWatchServiceException,
  DeleteAlarmsCommand,
  DescribeAlarmHistoryCommand,
  DescribeAlarmsCommand,
  InvalidFormatFault,
  ListTagsForResourceCommand,
  PutMetricAlarmCommand,
  PutMetricDataCommand,
  ResourceNotFound,
  SetAlarmStateCommand,
} from "@aws-sdk/client-cloudwatch";

const { NEARGATE_ENDPOINT: endpoint } = process.env;
assert.ok(endpoint, "NEARGATE_ENDPOINT says where the server is");

const client = new CloudWatchClient({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
});
const AlarmName = `js-${randomUUID().slice(0, 8)}`;

after(() => client.destroy());

test("an alarm says what it is told to say", async () => {
  await client.send(
    new PutMetricAlarmCommand({
      AlarmName,
      Namespace: "App",
      MetricName: "Errors",
      Dimensions: [{ Name: "Stage", Value: "tést" }],
      Statistic: "Sum",
      Period: 60,
      EvaluationPeriods: 1,
      Threshold: 5,
      ComparisonOperator: "GreaterThanThreshold",
      Tags: [{ Key: "made-by", Value: "javascript" }],
    }),
  );
  await client.send(new SetAlarmStateCommand({ AlarmName, StateValue: "ALARM", StateReason: "busy" }));
  const { MetricAlarms: [alarm] } = await client.send(new DescribeAlarmsCommand({ AlarmNames: [AlarmName] }));
  assert.equal(alarm.StateValue, "ALARM");
  assert.equal(alarm.Threshold, 5);
  assert.deepEqual(alarm.Dimensions, [{ Name: "Stage", Value: "tést" }]);
  assert.ok(alarm.StateTransitionedTimestamp >= alarm.AlarmConfigurationUpdatedTimestamp);
  const { Tags } = await client.send(new ListTagsForResourceCommand({ ResourceARN: alarm.AlarmArn }));
  assert.deepEqual(Tags, [{ Key: "made-by", Value: "javascript" }]);
  const { AlarmHistoryItems } = await client.send(new DescribeAlarmHistoryCommand({ AlarmName }));
  assert.deepEqual(AlarmHistoryItems.map((item) => item.HistoryItemType), ["StateUpdate", "ConfigurationUpdate"]);
});

test("errors have their classes and codes", async () => {
  const refused = { AlarmName, StateValue: "OK", StateReason: "", StateReasonData: "{" };
  await assert.rejects(client.send(new SetAlarmStateCommand(refused)), InvalidFormatFault);
  const unknown = { AlarmName: "none", StateValue: "OK", StateReason: "" };
  await assert.rejects(client.send(new SetAlarmStateCommand(unknown)), ResourceNotFound);
  await assert.rejects(client.send(new PutMetricDataCommand({ Namespace: "App", MetricData: [] })), (error) => {
    assert.ok(error instanceof CloudWatchServiceException);
    assert.equal(error.name, "NotImplemented");
    return true;
  });
});

test("an alarm is deleted", async () => {
  await client.send(new DeleteAlarmsCommand({ AlarmNames: [AlarmName] }));
  const { MetricAlarms } = await client.send(new DescribeAlarmsCommand({ AlarmNames: [AlarmName] }));
  assert.deepEqual(MetricAlarms, []);
});
