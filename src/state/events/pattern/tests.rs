//! What patterns match, as a table.

use serde_json::Value;

use super::Pattern;

const EVENT: &str = r#"{"source":"aws.ecs","detail-type":"ECS Task State Change","account":"123456789012",
  "resources":["arn:a","arn:b"],"detail":{"lastStatus":"RUNNING","count":300,"price":1.5,"flag":true,"none":null,
  "empty":"","list":[],"numbers":[1,2,3],"ip":"10.1.2.3","ip6":"2001:db8::1","path":"a/b*c\\d.png","object":{"x":1},
  "containers":[{"name":"web","exitCode":0},{"name":"log","exitCode":1}],"nested":[[{"deep":1}],["flat"]]}}"#;

/// Pattern of `detail`, and whether it matches.
const ROWS: &[(&str, bool)] = &[
    (r#"{"lastStatus":["RUNNING"]}"#, true),
    (r#"{"lastStatus":["STOPPED","RUNNING"]}"#, true),
    (r#"{"lastStatus":["running"]}"#, false),
    (r#"{"missing":["RUNNING"]}"#, false),
    (r#"{"lastStatus":["RUNNING"],"count":[300]}"#, true),
    (r#"{"lastStatus":["RUNNING"],"count":[301]}"#, false),
    (r#"{"count":[300]}"#, true),
    (r#"{"count":["300"]}"#, false),
    (r#"{"count":[300.0]}"#, false),
    (r#"{"flag":[true]}"#, true),
    (r#"{"flag":["true"]}"#, false),
    (r#"{"none":[null]}"#, true),
    (r#"{"empty":[""]}"#, true),
    (r#"{"none":[""]}"#, false),
    (r#"{"numbers":[3]}"#, true),
    (r#"{"numbers":[4]}"#, false),
    (r#"{"list":[null]}"#, false),
    (r#"{"object":{"x":[1]}}"#, true),
    (r#"{"object":{"x":[2]}}"#, false),
    (r#"{"object":[1]}"#, false),
    (r#"{"lastStatus":{"x":["RUNNING"]}}"#, false),
    // Prefix and suffix.
    (r#"{"lastStatus":[{"prefix":"RUN"}]}"#, true),
    (r#"{"lastStatus":[{"prefix":""}]}"#, true),
    (r#"{"lastStatus":[{"prefix":"run"}]}"#, false),
    (r#"{"lastStatus":[{"prefix":{"equals-ignore-case":"run"}}]}"#, true),
    (r#"{"count":[{"prefix":"3"}]}"#, false),
    (r#"{"path":[{"suffix":".png"}]}"#, true),
    (r#"{"path":[{"suffix":".PNG"}]}"#, false),
    (r#"{"path":[{"suffix":{"equals-ignore-case":".PNG"}}]}"#, true),
    (r#"{"lastStatus":[{"equals-ignore-case":"running"}]}"#, true),
    (r#"{"lastStatus":[{"equals-ignore-case":"run"}]}"#, false),
    // Anything but.
    (r#"{"lastStatus":[{"anything-but":"STOPPED"}]}"#, true),
    (r#"{"lastStatus":[{"anything-but":"RUNNING"}]}"#, false),
    (r#"{"lastStatus":[{"anything-but":["STOPPED","RUNNING"]}]}"#, false),
    (r#"{"count":[{"anything-but":300}]}"#, false),
    (r#"{"count":[{"anything-but":[1,2]}]}"#, true),
    (r#"{"missing":[{"anything-but":"x"}]}"#, false),
    (r#"{"lastStatus":[{"anything-but":{"prefix":"RUN"}}]}"#, false),
    (r#"{"lastStatus":[{"anything-but":{"prefix":["STOP","PEND"]}}]}"#, true),
    (r#"{"path":[{"anything-but":{"suffix":".png"}}]}"#, false),
    (r#"{"path":[{"anything-but":{"suffix":[".jpg",".gif"]}}]}"#, true),
    (r#"{"lastStatus":[{"anything-but":{"equals-ignore-case":"running"}}]}"#, false),
    (r#"{"lastStatus":[{"anything-but":{"equals-ignore-case":["stopped"]}}]}"#, true),
    (r#"{"path":[{"anything-but":{"wildcard":"*.png"}}]}"#, false),
    (r#"{"path":[{"anything-but":{"wildcard":["*.jpg","z*"]}}]}"#, true),
    // Numbers.
    (r#"{"count":[{"numeric":["=",300]}]}"#, true),
    (r#"{"count":[{"numeric":["=",3e2]}]}"#, true),
    (r#"{"count":[{"numeric":[">",300]}]}"#, false),
    (r#"{"count":[{"numeric":[">=",300]}]}"#, true),
    (r#"{"count":[{"numeric":["<",301]}]}"#, true),
    (r#"{"count":[{"numeric":["<=",299.9]}]}"#, false),
    (r#"{"count":[{"numeric":[">",0,"<=",300]}]}"#, true),
    (r#"{"count":[{"numeric":[">",300,"<",400]}]}"#, false),
    (r#"{"price":[{"numeric":["<",2]}]}"#, true),
    (r#"{"numbers":[{"numeric":[">",2]}]}"#, true),
    (r#"{"lastStatus":[{"numeric":["<",2]}]}"#, false),
    // Presence.
    (r#"{"lastStatus":[{"exists":true}]}"#, true),
    (r#"{"lastStatus":[{"exists":false}]}"#, false),
    (r#"{"missing":[{"exists":false}]}"#, true),
    (r#"{"missing":[{"exists":true}]}"#, false),
    (r#"{"missing":{"inner":[{"exists":false}]}}"#, true),
    (r#"{"none":[{"exists":true}]}"#, true),
    (r#"{"list":[{"exists":true}]}"#, false),
    (r#"{"list":[{"exists":false}]}"#, true),
    (r#"{"object":[{"exists":true}]}"#, false),
    (r#"{"missing":["x",{"exists":false}]}"#, true),
    // Addresses.
    (r#"{"ip":[{"cidr":"10.0.0.0/8"}]}"#, true),
    (r#"{"ip":[{"cidr":"10.1.2.0/24"}]}"#, true),
    (r#"{"ip":[{"cidr":"10.1.3.0/24"}]}"#, false),
    (r#"{"ip":[{"cidr":"0.0.0.0/0"}]}"#, true),
    (r#"{"ip":[{"cidr":"10.1.2.3/32"}]}"#, true),
    (r#"{"ip":[{"cidr":"10.1.2.4/32"}]}"#, false),
    (r#"{"ip":[{"cidr":"2001:db8::/32"}]}"#, false),
    (r#"{"ip6":[{"cidr":"2001:db8::/32"}]}"#, true),
    (r#"{"ip6":[{"cidr":"2001:db9::/32"}]}"#, false),
    (r#"{"lastStatus":[{"cidr":"10.0.0.0/8"}]}"#, false),
    // Wildcards.
    (r#"{"path":[{"wildcard":"a/*"}]}"#, true),
    (r#"{"path":[{"wildcard":"*.png"}]}"#, true),
    (r#"{"path":[{"wildcard":"*/b*.png"}]}"#, true),
    (r#"{"path":[{"wildcard":"a/b\\*c*"}]}"#, true),
    (r#"{"path":[{"wildcard":"a/b\\*d*"}]}"#, false),
    (r#"{"path":[{"wildcard":"*c\\\\d*"}]}"#, true),
    (r#"{"path":[{"wildcard":"a/b"}]}"#, false),
    (r#"{"path":[{"wildcard":"*b"}]}"#, false),
    (r#"{"path":[{"wildcard":"*"}]}"#, true),
    (r#"{"empty":[{"wildcard":"*"}]}"#, true),
    (r#"{"lastStatus":[{"wildcard":"RUN*ING"}]}"#, true),
    (r#"{"lastStatus":[{"wildcard":"RUNN*NING"}]}"#, false),
    (r#"{"lastStatus":[{"wildcard":"R*N*G"}]}"#, true),
    // Lists of objects: one of them must match whole.
    (r#"{"containers":{"name":["web"]}}"#, true),
    (r#"{"containers":{"name":["web"],"exitCode":[0]}}"#, true),
    (r#"{"containers":{"name":["web"],"exitCode":[1]}}"#, false),
    (r#"{"containers":{"exitCode":[{"anything-but":0}]}}"#, true),
    (r#"{"nested":["flat"]}"#, true),
    // Either.
    (r#"{"$or":[{"lastStatus":["STOPPED"]},{"count":[300]}]}"#, true),
    (r#"{"$or":[{"lastStatus":["STOPPED"]},{"count":[1]}]}"#, false),
    (r#"{"flag":[true],"$or":[{"lastStatus":["STOPPED"]},{"count":[{"numeric":[">",1]}]}]}"#, true),
    (r#"{"flag":[false],"$or":[{"lastStatus":["RUNNING"]},{"count":[300]}]}"#, false),
    (r#"{"$or":[{"a":["x"]},{"$or":[{"b":["y"]},{"flag":[true]}]}]}"#, true),
    // A member may be called so too.
    (r#"{"$or":["x"]}"#, false),
];

#[test]
fn a_pattern_matches_what_the_table_says() {
    let event: Value = serde_json::from_str(EVENT).unwrap();
    for (detail, expected) in ROWS {
        let pattern =
            Pattern::parse(&format!("{{\"detail\":{detail}}}")).unwrap_or_else(|error| panic!("{detail}: {error}"));
        assert_eq!(pattern.matches(&event), *expected, "{detail}");
    }
}

#[test]
fn the_envelope_is_matched_like_the_detail() {
    let event: Value = serde_json::from_str(EVENT).unwrap();
    for (pattern, expected) in [
        (r#"{"source":["aws.ecs"],"detail-type":["ECS Task State Change"]}"#, true),
        (r#"{"source":["aws.ec2"]}"#, false),
        (r#"{"account":["123456789012"]}"#, true),
        (r#"{"resources":["arn:b"]}"#, true),
        (r#"{"resources":[{"prefix":"arn:c"}]}"#, false),
    ] {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(&event), expected, "{pattern}");
    }
}

#[test]
fn whether_a_pattern_may_match_is_told_by_source_and_type_alone() {
    for (pattern, expected) in [
        (r#"{"source":["aws.ecs"]}"#, true),
        (r#"{"source":[{"prefix":"aws."}],"detail":{"x":["never"]}}"#, true),
        (r#"{"source":["aws.ec2"]}"#, false),
        (r#"{"detail-type":["ECS Service Action"]}"#, false),
        (r#"{"detail-type":[{"wildcard":"ECS Task*"}]}"#, true),
        (r#"{"account":["1"]}"#, true),
        (r#"{"$or":[{"source":["a"]},{"source":["b"]}]}"#, true),
    ] {
        let pattern = Pattern::parse(pattern).unwrap();
        assert_eq!(pattern.may_match("aws.ecs", "ECS Task State Change"), expected, "{pattern:?}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_a_reason() {
    for (pattern, reason) in [
        ("", "Filter is not valid JSON"),
        ("{", "Filter is not valid JSON"),
        ("[]", "Filter is not an object"),
        ("{}", "Empty objects are not allowed"),
        (r#"{"source":"aws.ecs"}"#, "\"source\" must be an object or an array"),
        (r#"{"source":[]}"#, "Empty arrays are not allowed"),
        (
            r#"{"source":[{"anything-but":["a",1]}]}"#,
            "Inside anything but list, either all values are number or string, mixed type is not supported",
        ),
        (r#"{"detail":{}}"#, "Empty objects are not allowed"),
        (r#"{"source":[["a"]]}"#, "Match value must be String, number, true, false, or null"),
        (r#"{"source":[{"prefix":"a","suffix":"b"}]}"#, "Only one key allowed in match expression"),
        (r#"{"source":[{}]}"#, "Only one key allowed in match expression"),
        (r#"{"source":[{"like":"a"}]}"#, "Unrecognized match type like"),
        (r#"{"source":[{"prefix":1}]}"#, "prefix match pattern must be a string"),
        (r#"{"source":[{"suffix":[]}]}"#, "suffix match pattern must be a string"),
        (r#"{"source":[{"exists":"yes"}]}"#, "exists match pattern must be either true or false."),
        (
            r#"{"source":[{"anything-but":null}]}"#,
            "Value of anything-but must be an array or single string/number value.",
        ),
        (r#"{"source":[{"anything-but":[true]}]}"#, "Inside anything but list, start|null|boolean is not supported."),
        (r#"{"source":[{"anything-but":{"numeric":["=",1]}}]}"#, "Unsupported anything-but pattern: numeric"),
        (r#"{"source":[{"numeric":5}]}"#, "Value of numeric must be an array."),
        (r#"{"source":[{"numeric":["~",5]}]}"#, "Unrecognized numeric range operator: ~"),
        (r#"{"source":[{"numeric":["<"]}]}"#, "Value of < must be numeric"),
        (r#"{"source":[{"numeric":[">",5,"<",4]}]}"#, "Bottom must be less than top"),
        (r#"{"source":[{"numeric":["<",5,"<",6]}]}"#, "Too many terms in numeric range expression"),
        (r#"{"source":[{"cidr":"10.0.0.0"}]}"#, "Malformed CIDR, one '/' required: 10.0.0.0"),
        (r#"{"source":[{"wildcard":"a**b"}]}"#, "Consecutive wildcard characters are not allowed"),
        (r#"{"source":[{"wildcard":"a\\b"}]}"#, "Invalid escape character"),
        (r#"{"$or":[{"source":["a"]}]}"#, "There must have at least 2 Objects for $or relationship."),
    ] {
        let refused = Pattern::parse(pattern).unwrap_err();
        assert_eq!(refused.to_string(), format!("Event pattern is not valid. Reason: {reason}"), "{pattern}");
    }
}
