//! Rust names for AWS's names.

/// Words that cannot be a field's name as they are.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "box", "break", "const", "continue", "do", "dyn", "else", "enum", "extern", "false",
    "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override",
    "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type", "typeof", "union", "unsafe",
    "unsized", "use", "virtual", "where", "while", "yield",
];

/// Words that even `r#` does not free.
const RESERVED: &[&str] = &["self", "super", "crate"];

/// Types of the prelude, and what each generated module has besides its shapes.
const TAKEN_TYPES: &[&str] = &["Box", "Default", "Error", "Option", "Result", "String", "Vec"];

/// Returns the name of a field: `enableECSManagedTags` is `enable_ecs_managed_tags`.
pub(crate) fn field(name: &str) -> String {
    let snake = snake(name);
    if KEYWORDS.contains(&snake.as_str()) {
        format!("r#{snake}")
    } else if RESERVED.contains(&snake.as_str()) {
        format!("{snake}_")
    } else {
        snake
    }
}

/// Returns the name of a static: `TagKey` is `TAG_KEY`.
pub(crate) fn constant(name: &str) -> String {
    snake(name).to_uppercase()
}

/// Returns the name of a type; AWS names shapes as Rust does, mostly.
pub(crate) fn type_name(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    let name = first.into_iter().chain(chars).collect::<String>();
    if TAKEN_TYPES.contains(&name.as_str()) { name + "Shape" } else { name }
}

/// Returns the name of an enumeration's variant: `FARGATE_SPOT` is `FargateSpot`, `json-file` is `JsonFile`.
pub(crate) fn variant(value: &str) -> String {
    let words = value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.flat_map(split).map(|word| capitalised(&word)).collect::<String>();
    match name.as_str() {
        "" => "Empty".to_owned(),
        "Self" => "Self_".to_owned(),
        "Other" => "Other_".to_owned(),
        name if name.starts_with(|c: char| c.is_ascii_digit()) => format!("V{name}"),
        name => name.to_owned(),
    }
}

/// Returns the name of an error's variant: the exception without `Exception`.
pub(crate) fn error_variant(shape: &str) -> String {
    let short = shape.strip_suffix("Exception").filter(|short| !short.is_empty() && *short != "Other");
    type_name_of_variant(short.unwrap_or(shape))
}

fn type_name_of_variant(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars.map(|c| c.to_ascii_lowercase())).collect()
}

fn snake(name: &str) -> String {
    let name = ["ARNs", "IDs", "IPs", "VPCs", "URLs"]
        .iter()
        .fold(name.replace("IPv", "Ipv"), |name, plural| name.replace(plural, &capitalised(plural)));
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.flat_map(split).map(|word| word.to_ascii_lowercase()).collect::<Vec<_>>().join("_")
}

/// Splits `enableECSTags` into `enable`, `ECS` and `Tags`. Digits stay with what precedes them.
fn split(name: &str) -> Vec<String> {
    let chars = name.chars().collect::<Vec<_>>();
    let mut words = vec![String::new()];
    for (at, &c) in chars.iter().enumerate() {
        let follows_small = at > 0 && !chars[at - 1].is_ascii_uppercase();
        let precedes_small = chars.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let begins = c.is_ascii_uppercase() && at > 0 && (follows_small || precedes_small);
        match words.last_mut() {
            Some(word) if !begins => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_snake_case() {
        for (name, expected) in [
            ("taskRoleArn", "task_role_arn"),
            ("enableECSManagedTags", "enable_ecs_managed_tags"),
            ("type", "r#type"),
            ("VpcId", "vpc_id"),
            ("ipv6Address", "ipv6_address"),
            ("assignIPv6Address", "assign_ipv6_address"),
            ("containerInstanceARNs", "container_instance_arns"),
            ("DNSName", "dns_name"),
            ("s3Bucket", "s3_bucket"),
            ("availabilityZoneId", "availability_zone_id"),
            ("self", "self_"),
        ] {
            assert_eq!(field(name), expected);
        }
    }

    #[test]
    fn variants_are_camel_case() {
        for (value, expected) in [
            ("FARGATE_SPOT", "FargateSpot"),
            ("EC2", "Ec2"),
            ("json-file", "JsonFile"),
            ("containerInsights", "ContainerInsights"),
            ("1.4", "V14"),
            ("host", "Host"),
            ("", "Empty"),
            ("other", "Other_"),
            ("service-linked-role", "ServiceLinkedRole"),
        ] {
            assert_eq!(variant(value), expected);
        }
    }

    #[test]
    fn types_keep_clear_of_the_prelude() {
        assert_eq!(
            (type_name("Task"), type_name("String"), type_name("arnType")),
            ("Task".into(), "StringShape".into(), "ArnType".into())
        );
        assert_eq!(error_variant("ClusterNotFoundException"), "ClusterNotFound");
        assert_eq!(error_variant("Exception"), "Exception");
    }
}
