//! Tasks on container instances that this machine plays.

use std::time::Duration;

use controllers::{NewInstance, NotRemoved};
use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, FARGATE, SIMULATED, container, container_with, server, text};

crate::scenarios! {
    BOTH => [
        a_bridge_task_has_a_port_of_its_instance_and_gives_it_back,
        a_range_of_ports_is_given_a_range_of_its_instance,
        an_awsvpc_task_and_one_without_network_run_on_an_instance,
    ],
    SIMULATED => [
        services_are_placed_by_their_strategy_and_constraints,
        a_service_says_what_it_lacks_and_is_placed_when_it_is_there,
        an_instance_that_is_drained_is_emptied_within_the_bounds,
        a_daemon_is_on_each_instance_that_suits_it,
        an_instance_is_never_given_more_than_it_has,
    ],
    FARGATE => [
        a_bridge_task_is_answered_at_its_instances_address_and_a_host_task_too,
        a_container_of_a_bridge_task_finds_those_it_links_to_by_name,
    ],
}

/// Gives the cluster an instance with these attributes, and waits for its agent. Returns its id.
async fn add(bench: &Bench, attributes: &[(&str, &str)]) -> String {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let wanted =
        NewInstance { cluster: "default".to_owned(), attributes: attributes.collect(), ..NewInstance::default() };
    let id = bench.kit.emulator().controllers().add_instance(&wanted).unwrap().key.id.to_string();
    let is_there = async || instance(bench, &id).await["agentConnected"].as_bool().filter(|is_there| *is_there);
    bench.kit.wait_for("the agent", is_there).await;
    id
}

async fn instance(bench: &Bench, id: &str) -> Value {
    let output = bench.kit.ecs("DescribeContainerInstances", &json!({ "containerInstances": [id] })).await;
    output["containerInstances"][0].clone()
}

/// Registers the next revision of the family `app`, for instances.
async fn register(bench: &Bench, network_mode: &str, containers: &[Value]) {
    let input = json!({
        "family": "app",
        "requiresCompatibilities": ["EC2"],
        "networkMode": network_mode,
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "containerDefinitions": containers,
    });
    bench.kit.ecs("RegisterTaskDefinition", &input).await;
}

fn small(mut container: Value) -> Value {
    (container["cpu"], container["memory"]) = (json!(256), json!(256));
    container
}

async fn create(bench: &Bench, name: &str, more: Value) {
    let mut input = json!({ "serviceName": name, "taskDefinition": "app", "launchType": "EC2", "desiredCount": 1 });
    for (member, value) in more.as_object().unwrap() {
        input[member] = value.clone();
    }
    if input["schedulingStrategy"] == "DAEMON" {
        input.as_object_mut().unwrap().remove("desiredCount");
    }
    bench.kit.ecs("CreateService", &input).await;
}

/// Returns the instances of a service's tasks that run, sorted.
async fn places(bench: &Bench, service: &str) -> Vec<String> {
    let listed = bench.kit.ecs("ListTasks", &json!({ "serviceName": service, "desiredStatus": "RUNNING" })).await;
    if listed["taskArns"] == json!([]) {
        return Vec::new();
    }
    let output = bench.kit.ecs("DescribeTasks", &json!({ "tasks": listed["taskArns"] })).await;
    let running = output["tasks"].as_array().unwrap().iter().filter(|task| task["lastStatus"] == "RUNNING");
    let id = |task: &Value| text(&task["containerInstanceArn"]).rsplit('/').next().unwrap().to_owned();
    let mut places = running.map(id).collect::<Vec<_>>();
    places.sort();
    places
}

async fn until_at(bench: &Bench, service: &str, wanted: &[&str]) {
    let mut wanted = wanted.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    wanted.sort();
    let look = async || (places(bench, service).await == wanted).then_some(());
    bench.kit.wait_for(&format!("{service} at {wanted:?}"), look).await;
}

async fn describe(bench: &Bench, service: &str) -> Value {
    bench.kit.ecs("DescribeServices", &json!({ "services": [service] })).await["services"][0].clone()
}

async fn until_said(bench: &Bench, service: &str, what: &str) {
    let look = async || {
        let events = describe(bench, service).await["events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| text(&event["message"]).contains(what)).then_some(())
    };
    bench.kit.wait_for(what, look).await;
}

async fn a_bridge_task_has_a_port_of_its_instance_and_gives_it_back(bench: &Bench) {
    let id = add(bench, &[]).await;
    let ports = json!({ "portMappings": [{ "containerPort": 80 }, { "containerPort": 53, "hostPort": 5353, "protocol": "udp" }] });
    let app = container_with("app", "trap 'exit 143' TERM; echo ready; sleep 600 & wait", "output ready", &ports);
    register(bench, "bridge", &[small(app)]).await;
    let arn = bench.kit.ecs("RunTask", &json!({ "taskDefinition": "app" })).await["tasks"][0]["taskArn"].clone();
    let arn = text(&arn);
    let task = bench.until(&arn, "RUNNING").await;
    assert_eq!(task["launchType"], "EC2");
    assert_eq!(
        task["containers"][0]["networkBindings"],
        json!([
            { "bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 49153, "protocol": "tcp" },
            { "bindIP": "0.0.0.0", "containerPort": 53, "hostPort": 5353, "protocol": "udp" },
        ])
    );
    // The same port of the machine is not given twice; a chosen one is another one.
    let refused = bench.kit.ecs("RunTask", &json!({ "taskDefinition": "app" })).await;
    assert_eq!(refused["failures"][0]["reason"], "RESOURCE:PORTS");
    bench.stop(&arn).await;
    bench.until_stopped(&arn).await;
    let left = instance(bench, &id).await["remainingResources"].clone();
    let left = left.as_array().unwrap();
    assert_eq!(left.iter().find(|resource| resource["name"] == "CPU").unwrap()["integerValue"], 2048);
    assert_eq!(left.iter().find(|resource| resource["name"] == "PORTS_UDP").unwrap()["stringSetValue"], json!([]));
}

async fn a_range_of_ports_is_given_a_range_of_its_instance(bench: &Bench) {
    add(bench, &[]).await;
    let ports = json!({ "portMappings": [{ "containerPort": 80 }, { "containerPortRange": "7000-7002" }] });
    let app = container_with("app", "trap 'exit 143' TERM; echo ready; sleep 600 & wait", "output ready", &ports);
    register(bench, "bridge", &[small(app)]).await;
    let mut tasks = Vec::new();
    for (single, range) in [(49153, "49154-49156"), (49157, "49158-49160")] {
        let output = bench.kit.ecs("RunTask", &json!({ "taskDefinition": "app" })).await;
        let arn = text(&output["tasks"][0]["taskArn"]);
        let task = bench.until(&arn, "RUNNING").await;
        assert_eq!(
            task["containers"][0]["networkBindings"],
            json!([
                { "bindIP": "0.0.0.0", "containerPort": 80, "hostPort": single, "protocol": "tcp" },
                { "bindIP": "0.0.0.0", "containerPortRange": "7000-7002", "hostPortRange": range, "protocol": "tcp" },
            ])
        );
        tasks.push(arn);
    }
    for arn in tasks {
        bench.stop(&arn).await;
        bench.until_stopped(&arn).await;
    }
}

async fn an_awsvpc_task_and_one_without_network_run_on_an_instance(bench: &Bench) {
    let id = add(bench, &[]).await;
    for mode in ["awsvpc", "none"] {
        let app = container("app", "echo ready", "output ready; exit 0");
        register(bench, mode, &[small(app)]).await;
        let network = json!({ "awsvpcConfiguration": { "subnets": [bench.subnet().await] } });
        let network = if mode == "awsvpc" { network } else { Value::Null };
        let input = json!({ "taskDefinition": "app", "launchType": "EC2", "networkConfiguration": network });
        let output = bench.kit.ecs("RunTask", &input).await;
        assert_eq!(output["failures"], json!([]), "{mode}");
        let task = bench.until_stopped(&text(&output["tasks"][0]["taskArn"])).await;
        assert!(text(&task["containerInstanceArn"]).ends_with(&id), "{mode}");
        assert_eq!(task["containers"][0]["exitCode"], 0, "{mode}: {task}");
    }
}

async fn services_are_placed_by_their_strategy_and_constraints(bench: &Bench) {
    let (blue, green, other) = (
        add(bench, &[("stack", "blue"), ("ecs.availability-zone", "us-east-1a")]).await,
        add(bench, &[("stack", "green"), ("ecs.availability-zone", "us-east-1a")]).await,
        add(bench, &[("ecs.availability-zone", "us-east-1b")]).await,
    );
    register(bench, "bridge", &[small(server("app"))]).await;
    let spread = json!([{ "type": "spread", "field": "instanceId" }]);
    create(bench, "spread", json!({ "desiredCount": 3, "placementStrategy": spread })).await;
    until_at(bench, "spread", &[&blue, &green, &other]).await;
    create(bench, "unsaid", json!({ "desiredCount": 2 })).await;
    bench
        .kit
        .wait_for("two zones", async || {
            let at = places(bench, "unsaid").await;
            (at.len() == 2 && at.contains(&other)).then_some(())
        })
        .await;
    let pack = json!([{ "type": "binpack", "field": "memory" }]);
    let member = json!([{ "type": "memberOf", "expression": "attribute:stack in [blue, green]" }]);
    create(bench, "packed", json!({ "desiredCount": 3, "placementStrategy": pack, "placementConstraints": member }))
        .await;
    bench
        .kit
        .wait_for("three on one", async || {
            let at = places(bench, "packed").await;
            (at.len() == 3 && at.iter().all(|place| *place == at[0] && *place != other)).then_some(())
        })
        .await;
    let distinct = json!([{ "type": "distinctInstance" }]);
    create(bench, "distinct", json!({ "desiredCount": 4, "placementConstraints": distinct })).await;
    until_at(bench, "distinct", &[&blue, &green, &other]).await;
    until_said(bench, "distinct", "DistinctInstance placement constraint unsatisfied.").await;
}

async fn a_service_says_what_it_lacks_and_is_placed_when_it_is_there(bench: &Bench) {
    register(bench, "bridge", &[small(server("app"))]).await;
    let member = json!([{ "type": "memberOf", "expression": "attribute:stack == blue" }]);
    create(bench, "web", json!({ "placementConstraints": member })).await;
    let none = "(service web) was unable to place a task because no container instance met all of its requirements. \
                Reason: No Container Instances were found in your cluster.";
    until_said(bench, "web", none).await;
    let id = add(bench, &[]).await;
    until_said(bench, "web", &format!("The closest matching (container-instance {id}) encountered error")).await;
    let attribute = json!({ "name": "stack", "value": "blue", "targetType": "container-instance", "targetId": id });
    bench.kit.ecs("PutAttributes", &json!({ "attributes": [attribute] })).await;
    until_at(bench, "web", &[&id]).await;
    // What is taken elsewhere is said, and taken when it is given back.
    register(bench, "bridge", &[container_with("app", "", "", &json!({ "cpu": 1024, "memory": 3000 }))]).await;
    let large = bench.kit.ecs("RunTask", &json!({ "taskDefinition": "app" })).await;
    let large = text(&large["tasks"][0]["taskArn"]);
    register(bench, "bridge", &[container_with("app", "", "", &json!({ "cpu": 256, "memory": 1000 }))]).await;
    create(bench, "more", json!({})).await;
    let lacks = format!("The closest matching (container-instance {id}) has insufficient memory available.");
    until_said(bench, "more", &lacks).await;
    let said = describe(bench, "more").await["events"].as_array().unwrap().len();
    bench.kit.advance(Duration::from_secs(60)).await;
    assert_eq!(describe(bench, "more").await["events"].as_array().unwrap().len(), said, "it is said once");
    bench.stop(&large).await;
    until_at(bench, "more", &[&id]).await;
    // An instance that is removed takes its tasks along.
    let controllers = bench.kit.emulator().controllers();
    assert_eq!(controllers.remove_instance(&id, false).unwrap_err(), NotRemoved::HasTasks(id.clone()));
    controllers.remove_instance(&id, true).unwrap();
    let another = add(bench, &[("stack", "blue")]).await;
    until_at(bench, "web", &[&another]).await;
    until_at(bench, "more", &[&another]).await;
    assert_eq!(instance(bench, &id).await["status"], "INACTIVE");
}

async fn an_instance_that_is_drained_is_emptied_within_the_bounds(bench: &Bench) {
    let (first, second) = (add(bench, &[]).await, add(bench, &[]).await);
    register(bench, "bridge", &[small(server("app"))]).await;
    create(bench, "web", json!({ "desiredCount": 2 })).await;
    until_at(bench, "web", &[&first, &second]).await;
    bench.kit.pass(Duration::from_secs(60)).await;
    let input = json!({ "containerInstances": [first], "status": "DRAINING" });
    bench.kit.ecs("UpdateContainerInstancesState", &input).await;
    let look = async || {
        let running = places(bench, "web").await;
        assert!((2..=4).contains(&running.len()), "{running:?}");
        (running == [second.clone(), second.clone()]).then_some(())
    };
    bench.kit.wait_for("both on the other", look).await;
}

async fn a_daemon_is_on_each_instance_that_suits_it(bench: &Bench) {
    let (first, second) = (add(bench, &[("stack", "blue")]).await, add(bench, &[("stack", "blue")]).await);
    add(bench, &[]).await;
    register(bench, "bridge", &[small(server("app"))]).await;
    let member = json!([{ "type": "memberOf", "expression": "attribute:stack == blue" }]);
    create(bench, "agent", json!({ "schedulingStrategy": "DAEMON", "placementConstraints": member })).await;
    until_at(bench, "agent", &[&first, &second]).await;
    assert_eq!(describe(bench, "agent").await["desiredCount"], 2);
    until_said(bench, "agent", "has reached a steady state.").await;
    let third = add(bench, &[("stack", "blue")]).await;
    until_at(bench, "agent", &[&first, &second, &third]).await;
    // A new revision takes the place of the old one everywhere.
    register(bench, "bridge", &[small(server("app"))]).await;
    bench.kit.ecs("UpdateService", &json!({ "service": "agent", "taskDefinition": "app" })).await;
    bench
        .kit
        .wait_for("the new revision alone", async || {
            let shown = describe(bench, "agent").await;
            let is_stable = shown["deployments"].as_array().unwrap().len() == 1 && shown["runningCount"] == 3;
            is_stable.then_some(())
        })
        .await;
    bench
        .kit
        .ecs("UpdateContainerInstancesState", &json!({ "containerInstances": [first], "status": "DRAINING" }))
        .await;
    until_at(bench, "agent", &[&second, &third]).await;
    bench.kit.emulator().controllers().remove_instance(&second, true).unwrap();
    until_at(bench, "agent", &[&third]).await;
    bench.kit.ecs("DeleteService", &json!({ "service": "agent" })).await;
    until_at(bench, "agent", &[]).await;
}

async fn an_instance_is_never_given_more_than_it_has(bench: &Bench) {
    let id = add(bench, &[]).await;
    register(bench, "bridge", &[small(server("app"))]).await;
    for name in ["a", "b", "c"] {
        create(bench, name, json!({ "desiredCount": 5 })).await;
    }
    let running = async || {
        let shown = instance(bench, &id).await;
        let left = shown["remainingResources"].as_array().unwrap().clone();
        let left = left.iter().find(|resource| resource["name"] == "CPU").unwrap()["integerValue"].clone();
        (shown["runningTasksCount"] == 8 && left == 0).then_some(())
    };
    bench.kit.wait_for("a full instance", running).await;
    bench.kit.ecs("UpdateService", &json!({ "service": "a", "desiredCount": 0 })).await;
    bench.kit.pass(Duration::from_secs(60)).await;
    assert_eq!(instance(bench, &id).await["runningTasksCount"], 8);
}

async fn a_bridge_task_is_answered_at_its_instances_address_and_a_host_task_too(bench: &Bench) {
    add(bench, &[]).await;
    let address = text(&json!(bench.kit.emulator().controllers().instances()[0].host.as_ref().unwrap().address));
    let web = |name: &str, port: u16| {
        let command = format!("echo {name} > /srv/index.html; exec /bin/busybox httpd -f -p {port} -h /srv");
        container_with(name, &command, "", &json!({ "portMappings": [{ "containerPort": port }] }))
    };
    let mut addresses = Vec::new();
    for (mode, name, port) in [("bridge", "one", 80), ("bridge", "two", 80), ("host", "three", 8080)] {
        register(bench, mode, &[small(web(name, port))]).await;
        let output = bench.kit.ecs("RunTask", &json!({ "taskDefinition": "app" })).await;
        let task = bench.until(&text(&output["tasks"][0]["taskArn"]), "RUNNING").await;
        let bound = task["containers"][0]["networkBindings"][0]["hostPort"].as_i64().unwrap();
        addresses.push((name, bound));
    }
    assert_eq!(addresses, [("one", 49153), ("two", 49154), ("three", 8080)]);
    // From the VPC, and from behind the bridge, where the metadata and the other task are found. Not from the host: of several
    // servers with the same addresses only one is answered for there.
    let client = format!(
        "for port in 49153 49154 8080; do until wget -q -O - http://{address}:$port/ 2>/dev/null; do sleep 0.1; done; done; \
         wget -q -O - ${{ECS_CONTAINER_METADATA_URI_V4}}/task | /bin/busybox grep -c TaskARN"
    );
    for mode in ["awsvpc", "bridge"] {
        register(bench, mode, &[small(container("client", &client, ""))]).await;
        let network = json!({ "awsvpcConfiguration": { "subnets": [bench.subnet().await] } });
        let network = if mode == "awsvpc" { network } else { Value::Null };
        let input = json!({ "taskDefinition": "app", "launchType": "EC2", "networkConfiguration": network });
        let output = bench.kit.ecs("RunTask", &input).await;
        let arn = text(&output["tasks"][0]["taskArn"]);
        let task = bench.until_stopped(&arn).await;
        assert_eq!(task["containers"][0]["exitCode"], 0, "{mode}: {:?}", bench.log("client", &arn).await);
        assert_eq!(bench.log("client", &arn).await, ["one", "two", "three", "1"], "{mode}");
    }
}

async fn a_container_of_a_bridge_task_finds_those_it_links_to_by_name(bench: &Bench) {
    add(bench, &[]).await;
    let serve = "echo found > /srv/index.html; exec /bin/busybox httpd -f -p 8080 -h /srv";
    let mut db = small(container("db", serve, ""));
    (db["essential"], db["stopTimeout"]) = (json!(false), json!(2));
    let ask =
        "until wget -q -O - http://database:8080/; do sleep 1; done; wget -q -O - http://db:8080/; cat /etc/hosts";
    let more = json!({
        "links": ["db:database"], "extraHosts": [{ "hostname": "printer", "ipAddress": "10.0.0.9" }],
    });
    register(bench, "bridge", &[small(container_with("app", ask, "", &more)), db]).await;
    let output = bench.kit.ecs("RunTask", &json!({ "taskDefinition": "app" })).await;
    let arn = text(&output["tasks"][0]["taskArn"]);
    let task = bench.until_stopped(&arn).await;
    let id = arn.rsplit('/').next().unwrap();
    let log = bench.log("app", &arn).await;
    assert_eq!(task["containers"][0]["exitCode"], 0, "{log:?}");
    let log = log.iter().filter(|line| !line.starts_with("wget:")).map(String::as_str).collect::<Vec<_>>();
    let own = format!("172.17.0.16 {id}");
    let expected = ["found", "found", "127.0.0.1 localhost", &own, "10.0.0.9 printer", "172.17.0.16 database db"];
    assert_eq!(log, expected);
}
