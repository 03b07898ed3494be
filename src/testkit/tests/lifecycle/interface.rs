//! The network interface of a task, as ECS and EC2 tell of it.

use base::EniId;
use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, container, server, text};

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

async fn a_running_task_has_the_interface_that_ec2_knows(bench: &Bench) {
    let arn = bench.start(&[server("app")]).await;
    let task = bench.until(&arn, "RUNNING").await;
    let attachment = &task["attachments"][0];
    assert_eq!((&attachment["type"], &attachment["status"]), (&json!("ElasticNetworkInterface"), &json!("ATTACHED")));
    let id = EniId::new(detail(&task, "networkInterfaceId"));
    let known = bench.kit.emulator().state().ec2.network_interfaces.get(bench.kit.scope(), &id).unwrap();
    assert_eq!(detail(&task, "subnetId"), known.subnet.to_string());
    assert_eq!(detail(&task, "privateIPv4Address"), known.address.to_string());
    assert_eq!(detail(&task, "macAddress"), known.mac);
    assert_eq!(detail(&task, "privateDnsName"), known.private_dns_name);
    assert_eq!(task["availabilityZone"], known.availability_zone);
    let interface = &task["containers"][0]["networkInterfaces"][0];
    assert_eq!(interface["privateIpv4Address"], known.address.to_string());
    assert_eq!(interface["attachmentId"], attachment["id"]);
}

async fn a_stopped_task_has_given_its_interface_and_address_back(bench: &Bench) {
    let (state, scope) = (bench.kit.emulator().state(), bench.kit.scope());
    let free = || {
        let subnets = state.ec2.subnets.walk(scope, None);
        subnets.map(|(_, subnet)| state.ec2.count_free_addresses(scope, &subnet)).sum::<u32>()
    };
    bench.subnet();
    let before = free();
    let arn = bench.start(&[server("app")]).await;
    bench.until(&arn, "RUNNING").await;
    assert_eq!(free(), before - 1);
    bench.stop(&arn).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["attachments"][0]["status"], "DELETED");
    assert_eq!(free(), before);
    let id = EniId::new(detail(&task, "networkInterfaceId"));
    assert!(state.ec2.network_interfaces.get(scope, &id).is_none());
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
