//! The requests that are measured, as bytes.

use serde_json::{Value, json};

/// The name of everything that a benchmark makes.
pub(crate) const NAME: &str = "bench";

/// Makes a request of a service that speaks JSON.
pub(crate) fn json_request(service: &str, target: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}\r\n\
         X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature=0\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Makes a request of ECS.
pub(crate) fn ecs(operation: &str, body: &Value) -> Vec<u8> {
    json_request("ecs", &format!("AmazonEC2ContainerServiceV20141113.{operation}"), body)
}

/// Makes a request of CloudWatch Logs.
pub(crate) fn logs(operation: &str, body: &Value) -> Vec<u8> {
    json_request("logs", &format!("Logs_20140328.{operation}"), body)
}

/// Asks for the subnets.
pub(crate) fn describe_subnets() -> Vec<u8> {
    let body = "Action=DescribeSubnets&Version=2016-11-15";
    format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
         X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature=0\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A definition of one container that runs a command, its output in CloudWatch Logs.
pub(crate) fn definition(family: &str, command: &[&str]) -> Value {
    json!({
        "family": family,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "containerDefinitions": [{
            "name": "main",
            "image": "busybox:latest",
            // moto cannot run a container without it, nor a task without a list of security groups.
            "memory": 512,
            "command": command,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": NAME,
                    "awslogs-region": "us-east-1",
                    "awslogs-stream-prefix": NAME,
                    "awslogs-create-group": "true",
                },
            },
        }],
    })
}

/// Runs tasks of a definition.
pub(crate) fn run_task(family: &str, subnet: &str, count: usize) -> Vec<u8> {
    let body = json!({
        "cluster": NAME,
        "taskDefinition": family,
        "launchType": "FARGATE",
        "count": count,
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": [subnet], "securityGroups": [] } },
    });
    ecs("RunTask", &body)
}

/// Describes tasks.
pub(crate) fn describe_tasks(arns: &[String]) -> Vec<u8> {
    ecs("DescribeTasks", &json!({ "cluster": NAME, "tasks": arns }))
}
