// The AWS SDK for JavaScript v3: a task from its cluster to its end, pages, and errors by their classes.
//
// NEARGATE_ENDPOINT is where the server is, NEARGATE_SUBNET a subnet of it; `test_javascript.py` starts one and sets them.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import {
  ClientException,
  ClusterContainsTasksException,
  ClusterNotFoundException,
  CreateClusterCommand,
  DeleteClusterCommand,
  DeregisterTaskDefinitionCommand,
  DescribeClustersCommand,
  DescribeDaemonCommand,
  DescribeExpressGatewayServiceCommand,
  DescribeTaskDefinitionCommand,
  DescribeTasksCommand,
  ECSClient,
  ECSServiceException,
  ExecuteCommandCommand,
  InvalidParameterException,
  ListTagsForResourceCommand,
  RegisterTaskDefinitionCommand,
  ResourceNotFoundException,
  RunTaskCommand,
  ServiceNotFoundException,
  StopTaskCommand,
  UpdateServiceCommand,
  paginateListTaskDefinitions,
  waitUntilTasksRunning,
  waitUntilTasksStopped,
} from "@aws-sdk/client-ecs";

const PATIENCE_S = 60;
const REVISIONS = 5;

const { NEARGATE_ENDPOINT: endpoint, NEARGATE_SUBNET: subnet } = process.env;
assert.ok(endpoint && subnet, "NEARGATE_ENDPOINT and NEARGATE_SUBNET say where the server is");

const client = new ECSClient({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
});
const name = `js-${randomUUID().slice(0, 8)}`;
const account = "arn:aws:ecs:us-east-1:000000000000";
const noTask = "0".repeat(32);
const waiting = { client, maxWaitTime: PATIENCE_S, minDelay: 1, maxDelay: 1 };

const definition = {
  family: name,
  requiresCompatibilities: ["FARGATE"],
  networkMode: "awsvpc",
  cpu: "256",
  memory: "512",
  taskRoleArn: "arn:aws:iam::000000000000:role/task",
  containerDefinitions: [
    {
      name: "main",
      image: "busybox:latest",
      command: ["/bin/sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"],
    },
  ],
  tags: [{ key: "made-by", value: "javascript" }],
};

after(() => client.destroy());

describe("a task", () => {
  let task;

  before(async () => {
    const { cluster } = await client.send(new CreateClusterCommand({ clusterName: name }));
    assert.equal(cluster.status, "ACTIVE");
    assert.equal(cluster.clusterArn, `${account}:cluster/${name}`);
  });

  test("is defined by what was registered, and by the defaults", async () => {
    const { taskDefinition } = await client.send(new RegisterTaskDefinitionCommand(definition));
    assert.equal(taskDefinition.revision, 1);
    assert.ok(taskDefinition.registeredAt instanceof Date);
    const described = await client.send(new DescribeTaskDefinitionCommand({ taskDefinition: name, include: ["TAGS"] }));
    assert.deepEqual(described.taskDefinition, taskDefinition);
    assert.deepEqual(described.tags, definition.tags);
    assert.equal(described.taskDefinition.containerDefinitions[0].essential, true);
    assert.deepEqual(described.taskDefinition.compatibilities, ["EC2", "FARGATE", "MANAGED_INSTANCES"]);
  });

  test("runs", async () => {
    const { tasks, failures } = await client.send(
      new RunTaskCommand({
        cluster: name,
        taskDefinition: name,
        launchType: "FARGATE",
        enableExecuteCommand: true,
        networkConfiguration: { awsvpcConfiguration: { subnets: [subnet], assignPublicIp: "ENABLED" } },
      }),
    );
    assert.deepEqual(failures, []);
    [task] = tasks;
    assert.equal(task.lastStatus, "PROVISIONING");
    await waitUntilTasksRunning(waiting, { cluster: name, tasks: [task.taskArn] });
    const described = await client.send(new DescribeTasksCommand({ cluster: name, tasks: [task.taskArn] }));
    assert.ok(described.tasks[0].startedAt >= described.tasks[0].createdAt);
    assert.equal(described.tasks[0].attachments[0].type, "ElasticNetworkInterface");
  });

  test("keeps its cluster", async () => {
    await assert.rejects(client.send(new DeleteClusterCommand({ cluster: name })), ClusterContainsTasksException);
  });

  test("stops when it is asked to", async () => {
    await client.send(new StopTaskCommand({ cluster: name, task: task.taskArn, reason: "enough" }));
    await waitUntilTasksStopped(waiting, { cluster: name, tasks: [task.taskArn] });
    const described = await client.send(new DescribeTasksCommand({ cluster: name, tasks: [task.taskArn] }));
    const [stopped] = described.tasks;
    assert.equal(stopped.stopCode, "UserInitiated");
    assert.equal(stopped.stoppedReason, "enough");
    assert.equal(stopped.containers[0].exitCode, 7);
  });

  test("lets its cluster go", async () => {
    const { cluster } = await client.send(new DeleteClusterCommand({ cluster: name }));
    assert.equal(cluster.status, "INACTIVE");
  });
});

test("pages hold every revision once", async () => {
  const family = `${name}-pages`;
  for (let revision = 1; revision <= REVISIONS; revision += 1) {
    await client.send(new RegisterTaskDefinitionCommand({ ...definition, family }));
  }
  const found = [];
  for await (const page of paginateListTaskDefinitions({ client, pageSize: 2 }, { familyPrefix: family })) {
    assert.ok(page.taskDefinitionArns.length <= 2);
    found.push(...page.taskDefinitionArns);
  }
  const wanted = Array.from({ length: REVISIONS }, (_, i) => `${account}:task-definition/${family}:${i + 1}`);
  assert.deepEqual(found, wanted);
});

describe("errors have their classes", () => {
  const missing = { cluster: `${name}-missing` };
  const cases = [
    [new DeleteClusterCommand(missing), ClusterNotFoundException, "Cluster not found."],
    [new DescribeTasksCommand({ ...missing, tasks: [noTask] }), ClusterNotFoundException, "Cluster not found."],
    [new CreateClusterCommand({ clusterName: "a b" }), InvalidParameterException, undefined],
    [new StopTaskCommand({ ...missing, task: noTask }), ClusterNotFoundException, "Cluster not found."],
    [new DescribeTaskDefinitionCommand({ taskDefinition: "missing" }), ClientException, "Unable to describe task definition."],
    [new DeregisterTaskDefinitionCommand({ taskDefinition: "missing" }), ClientException, "Revision is missing."],
    [new RegisterTaskDefinitionCommand({ family: "x", containerDefinitions: [] }), ClientException, "Container list cannot be empty"],
    [new ListTagsForResourceCommand({ resourceArn: "x" }), InvalidParameterException, "The ARN provided is invalid."],
  ];
  for (const [command, type, message] of cases) {
    test(`${command.constructor.name}: ${type.name}`, async () => {
      const error = await client.send(command).then(assert.fail, (error) => error);
      assert.ok(error instanceof type, `${error.name}: ${error.message}`);
      assert.ok(error instanceof ECSServiceException);
      assert.equal(error.name, type.name);
      assert.equal(error.$fault, "client");
      assert.equal(error.$metadata.httpStatusCode, 400);
      assert.ok(error.$metadata.requestId);
      if (message) {
        assert.equal(error.message, message);
      }
    });
  }

  test("in a cluster that is there", async () => {
    const cluster = `${name}-errors`;
    await client.send(new CreateClusterCommand({ clusterName: cluster }));
    const update = new UpdateServiceCommand({ cluster, service: "missing", desiredCount: 1 });
    await assert.rejects(client.send(update), ServiceNotFoundException);
    const execute = new ExecuteCommandCommand({ cluster, task: noTask, command: "sh", interactive: true });
    await assert.rejects(client.send(execute), InvalidParameterException);
    const express = new DescribeExpressGatewayServiceCommand({ serviceArn: `${account}:service/${cluster}/missing` });
    await assert.rejects(client.send(express), ResourceNotFoundException);
    const daemon = new DescribeDaemonCommand({ daemonArn: `${account}:daemon/${cluster}/missing` });
    await assert.rejects(client.send(daemon), { name: "DaemonNotFoundException" });
    await client.send(new DeleteClusterCommand({ cluster }));
  });

  test("but what is only missing is a failure", async () => {
    const answer = await client.send(new DescribeClustersCommand({ clusters: [missing.cluster] }));
    assert.deepEqual(answer.clusters, []);
    assert.deepEqual(answer.failures, [{ arn: `${account}:cluster/${missing.cluster}`, reason: "MISSING" }]);
  });
});
