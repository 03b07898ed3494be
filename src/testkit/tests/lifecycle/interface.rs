//! The network interface of a task, as ECS and EC2 tell of it.

use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, container, element, server, text};

crate::scenarios! {
    BOTH => [
        a_running_task_has_the_interface_that_ec2_knows,
        a_stopped_task_has_given_its_interface_and_address_back,
        containers_of_a_task_share_their_network,
        tasks_in_one_subnet_reach_each_other_and_have_their_own_addresses,
    ],
}

/// Returns a detail of a task's attachment.
fn detail(task: &Value, name: &str) -> String {
    let details = task["attachments"][0]["details"].as_array().unwrap();
    let found = details.iter().find(|detail| detail["name"] == name);
    text(&found.unwrap_or_else(|| panic!("there is no {name} in {details:?}"))["value"])
}

/// Describes an interface as EC2 does; the XML.
async fn interface(bench: &Bench, id: &str) -> String {
    let parameters = format!("NetworkInterfaceId.1={id}");
    bench.kit.call_form("ec2", "DescribeNetworkInterfaces", &parameters).await.text()
}

async fn a_running_task_has_the_interface_that_ec2_knows(bench: &Bench) {
    let arn = bench.start(&[server("app")]).await;
    let task = bench.until(&arn, "RUNNING").await;
    let attachment = &task["attachments"][0];
    assert_eq!((&attachment["type"], &attachment["status"]), (&json!("ElasticNetworkInterface"), &json!("ATTACHED")));
    let known = interface(bench, &detail(&task, "networkInterfaceId")).await;
    assert!(known.contains("<status>in-use</status>"), "{known}");
    let known = |name: &str| element(&known, name).unwrap_or_else(|| panic!("there is no {name}: {known}"));
    assert_eq!(detail(&task, "subnetId"), known("subnetId"));
    assert_eq!(detail(&task, "privateIPv4Address"), known("privateIpAddress"));
    assert_eq!(detail(&task, "macAddress"), known("macAddress"));
    assert_eq!(detail(&task, "privateDnsName"), known("privateDnsName"));
    assert_eq!(task["availabilityZone"], known("availabilityZone"));
    let shown = &task["containers"][0]["networkInterfaces"][0];
    assert_eq!(shown["privateIpv4Address"], known("privateIpAddress"));
    assert_eq!(shown["attachmentId"], attachment["id"]);
}

async fn a_stopped_task_has_given_its_interface_and_address_back(bench: &Bench) {
    let free = async || {
        let filter = "Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1a";
        let reply = bench.kit.call_form("ec2", "DescribeSubnets", filter).await.text();
        element(&reply, "availableIpAddressCount").unwrap().parse::<u32>().unwrap()
    };
    let before = free().await;
    let arn = bench.start(&[server("app")]).await;
    bench.until(&arn, "RUNNING").await;
    assert_eq!(free().await, before - 1);
    bench.stop(&arn).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["attachments"][0]["status"], "DELETED");
    assert_eq!(free().await, before);
    let gone = interface(bench, &detail(&task, "networkInterfaceId")).await;
    assert_eq!(element(&gone, "Code").as_deref(), Some("InvalidNetworkInterfaceID.NotFound"));
    bench.assert_node_is_empty().await;
}

async fn containers_of_a_task_share_their_network(bench: &Bench) {
    let web = "echo hello >/tmp/index; trap 'exit 143' TERM; busybox httpd -f -p 8080 -h /tmp & wait";
    let client = "until wget -q -O- http://127.0.0.1:8080/index; do sleep 0.1; done";
    let mut web = container("web", web, "");
    web["essential"] = json!(false);
    let arn = bench.start(&[web, container("client", client, "output hello; exit 0")]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["containers"][1]["exitCode"], 0);
    assert_eq!(bench.log("client", &arn).await, ["hello"]);
}

async fn tasks_in_one_subnet_reach_each_other_and_have_their_own_addresses(bench: &Bench) {
    let web = "echo hello >/tmp/index; trap 'exit 143' TERM; busybox httpd -f -p 8080 -h /tmp & echo ready; wait";
    let first = bench.start(&[container("web", web, "output ready")]).await;
    bench.until_line("web", &first, "ready").await;
    let address = detail(&bench.task(&first).await, "privateIPv4Address");
    let client = format!("until wget -q -O- http://{address}:8080/index; do sleep 0.1; done");
    let second = bench.start(&[container("client", &client, "output hello; exit 0")]).await;
    let task = bench.until_stopped(&second).await;
    assert_eq!(bench.log("client", &second).await, ["hello"]);
    assert_ne!(detail(&task, "privateIPv4Address"), address);
}
