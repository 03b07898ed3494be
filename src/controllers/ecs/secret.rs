//! What `valueFrom` stands for: parameters of SSM and secrets of Secrets Manager, as a starting task gets them. Pure
//! functions of the state; how a failure is worded is in `reason`.

use base::{Arn, Scope, Timestamp};
use serde_json::Value as Json;
use state::State;
use state::iam::Secret;
use state::secretsmanager::{NoVersion, Value};
use state::ssm::split_selector;

use super::reason;

/// What stands before a secret's name in its ARN.
const RESOURCE: &str = "secret";
/// From this power of ten on, Go writes a number with an exponent.
const EXPONENT_FROM: i32 = 21;
/// Below this power of ten, Go writes a number with an exponent.
const EXPONENT_BELOW: i32 = -4;

/// Why a value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretFailure {
    /// The ARN of a secret has neither no further fields nor three.
    Arn,
    /// Secrets Manager does not give the secret.
    Fetch {
        /// The secret as it was asked for.
        secret: String,
        /// Why.
        cause: FetchFailure,
    },
    /// The secret is not the JSON object that a key was to be taken from. The text is that of AWS's JSON reader.
    NotJson(String),
    /// The object does not have the key.
    NoJsonKey(String),
    /// SSM does not have these parameters.
    Parameters(Vec<String>),
}

/// Why Secrets Manager does not give a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchFailure {
    /// There is no such secret.
    NotFound,
    /// It is marked for deletion.
    Deleted,
    /// It has no such version.
    Version(NoVersion),
}

/// What a private registry is logged in to with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryCredentials {
    /// The user.
    pub(crate) username: String,
    /// The user's password.
    pub(crate) password: Secret,
}

/// Gets the value that one `valueFrom` stands for, or AWS's words for why there is none.
#[cfg(test)]
fn resolve(state: &State, scope: &Scope, value_from: &str, now: Timestamp) -> Result<Secret, String> {
    let mut resolved = resolve_all(state, scope, [("", value_from)], now)?;
    Ok(resolved.pop().map(|(_, secret)| secret).expect("one value was asked for and none is missing"))
}

/// Gets the values of pairs of name and `valueFrom`, in their order, or AWS's words for why a task cannot start.
///
/// All missing parameters are named together; of secrets the first one that fails is.
pub(crate) fn resolve_all<'a>(
    state: &State,
    scope: &Scope,
    secrets: impl IntoIterator<Item = (&'a str, &'a str)>,
    now: Timestamp,
) -> Result<Vec<(String, Secret)>, String> {
    let (mut resolved, mut missing) = (Vec::new(), Vec::new());
    for (name, value_from) in secrets {
        match one(state, scope, value_from, now) {
            Ok(secret) => resolved.push((name.to_owned(), secret)),
            Err(SecretFailure::Parameters(names)) => missing.extend(names),
            Err(failure) => return Err(reason::no_secret(&failure)),
        }
    }
    if missing.is_empty() { Ok(resolved) } else { Err(reason::no_secret(&SecretFailure::Parameters(missing))) }
}

/// Gets what `repositoryCredentials.credentialsParameter` names: a secret with `username` and `password`.
pub(crate) fn registry_credentials(
    state: &State,
    scope: &Scope,
    parameter: &str,
    now: Timestamp,
) -> Result<RegistryCredentials, String> {
    let read = || {
        let text = fetch(state, scope, parameter, None, None, now)?;
        let object = object(text.expose())?;
        let member = |key: &str| {
            let text = object.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or_else(|| SecretFailure::NoJsonKey(key.to_owned()))
        };
        Ok(RegistryCredentials { username: member("username")?, password: Secret::new(member("password")?) })
    };
    read().map_err(|failure| reason::no_registry_credentials(parameter, &failure))
}

fn one(state: &State, scope: &Scope, value_from: &str, now: Timestamp) -> Result<Secret, SecretFailure> {
    match Arn::parse(value_from) {
        Some(arn) if arn.service() == "secretsmanager" => from_secrets_manager(state, scope, &arn, now),
        Some(arn) => parameter(state, &scope_of(&arn, scope), value_from, now),
        None => parameter(state, scope, value_from, now),
    }
}

fn parameter(state: &State, scope: &Scope, value_from: &str, now: Timestamp) -> Result<Secret, SecretFailure> {
    let (id, selector) = split_selector(value_from);
    let parameter = state.ssm.find(scope, id, now);
    let version = parameter.as_ref().and_then(|parameter| parameter.select(selector));
    let value = version.map(|version| Secret::clone(&version.value));
    value.ok_or_else(|| SecretFailure::Parameters(vec![value_from.to_owned()]))
}

/// The ARN may go on after the secret: `:json-key:version-stage:version-id`, each of which may be empty.
fn from_secrets_manager(state: &State, scope: &Scope, arn: &Arn, now: Timestamp) -> Result<Secret, SecretFailure> {
    let fields = arn.resource().split(':').collect::<Vec<_>>();
    let (name, key, stage, id) = match fields[..] {
        [RESOURCE, name] => (name, "", "", ""),
        [RESOURCE, name, key, stage, id] => (name, key, stage, id),
        _ => return Err(SecretFailure::Arn),
    };
    let scope = scope_of(arn, scope);
    let secret = Arn::new("secretsmanager", &scope, &format!("{RESOURCE}:{name}"));
    let given = |field: &'_ str| Some(field.to_owned()).filter(|field| !field.is_empty());
    let text = fetch(state, &scope, secret.as_str(), given(id).as_deref(), given(stage).as_deref(), now)?;
    if key.is_empty() {
        return Ok(text);
    }
    let object = object(text.expose())?;
    let value = object.get(key).ok_or_else(|| SecretFailure::NoJsonKey(key.to_owned()))?;
    Ok(Secret::new(go_text(value)))
}

/// Fetches the text of a secret. AWS's agent takes a binary secret for an empty text.
fn fetch(
    state: &State,
    scope: &Scope,
    secret: &str,
    id: Option<&str>,
    stage: Option<&str>,
    now: Timestamp,
) -> Result<Secret, SecretFailure> {
    let failed = |cause| SecretFailure::Fetch { secret: secret.to_owned(), cause };
    let scope = Arn::parse(secret).map_or_else(|| scope.clone(), |arn| scope_of(&arn, scope));
    let found = state.secretsmanager.find(&scope, secret, now).ok_or_else(|| failed(FetchFailure::NotFound))?;
    if found.is_deleted() {
        return Err(failed(FetchFailure::Deleted));
    }
    let version = found.select(id, stage).map_err(|none| failed(FetchFailure::Version(none)))?;
    Ok(match &*version.value {
        Value::Text(text) => text.clone(),
        Value::Binary(_) => Secret::new(String::new()),
    })
}

/// Returns where a resource lies: ARNs may name another region or account than the task's.
fn scope_of(arn: &Arn, scope: &Scope) -> Scope {
    Scope::new(arn.account().unwrap_or(scope.account), arn.region().unwrap_or_else(|| scope.region.clone()))
}

fn object(text: &str) -> Result<serde_json::Map<String, Json>, SecretFailure> {
    let kind = match serde_json::from_str(text) {
        Ok(Json::Object(object)) => return Ok(object),
        Err(error) => return Err(SecretFailure::NotJson(go_error(text, &error))),
        // Go leaves the map without keys then.
        Ok(Json::Null) => return Ok(serde_json::Map::new()),
        Ok(Json::Bool(_)) => "bool",
        Ok(Json::Number(_)) => "number",
        Ok(Json::String(_)) => "string",
        Ok(Json::Array(_)) => "array",
    };
    let message = format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
    Err(SecretFailure::NotJson(message))
}

/// Words a syntax error as Go's JSON reader does, which AWS's agent quotes.
fn go_error(text: &str, error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let literal = ["true", "false", "null"].into_iter().find(|literal| literal.get(..1) == start.get(..1));
    if let Some(literal) = literal {
        let differs = start.chars().zip(literal.chars()).find(|(found, expected)| found != expected);
        if let Some((found, expected)) = differs {
            return format!("invalid character {} in literal {literal} (expecting '{expected}')", quoted(found));
        }
    }
    let words = error.to_string();
    let context = match words.as_str() {
        words if words.starts_with("trailing characters") => "after top-level value",
        words if words.starts_with("key must be a string") || words.starts_with("trailing comma") => {
            "looking for beginning of object key string"
        }
        words if words.starts_with("expected `:`") => "after object key",
        words if words.starts_with("expected `,` or `}`") => "after object key:value pair",
        words if words.starts_with("expected `,` or `]`") => "after array element",
        words if words.starts_with("control character") => "in string literal",
        _ => "looking for beginning of value",
    };
    format!("invalid character {} {context}", quoted(character_at(text, error)))
}

/// Returns the character that an error is about: serde counts lines and columns, in bytes, from one.
fn character_at(text: &str, error: &serde_json::Error) -> char {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let at = line.get(error.column().saturating_sub(1)..).and_then(|rest| rest.chars().next());
    at.unwrap_or('\u{fffd}')
}

fn quoted(character: char) -> String {
    match character {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        '\n' => r"'\n'".to_owned(),
        '\t' => r"'\t'".to_owned(),
        '\r' => r"'\r'".to_owned(),
        other => format!("'{other}'"),
    }
}

/// Writes a value as Go's `%v` does: texts without quotes, objects as `map[a:1 b:2]`, null as `<nil>`.
fn go_text(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.as_f64().map_or_else(|| number.to_string(), go_number),
        Json::String(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Json::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{key}:{}", go_text(value)));
            format!("map[{}]", members.collect::<Vec<_>>().join(" "))
        }
    }
}

/// Writes a number in the fewest digits, with an exponent of at least two digits where it is far from one.
fn go_number(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent = exponent.parse::<i32>().unwrap_or_default();
    if (EXPONENT_BELOW..EXPONENT_FROM).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::{AccountId, Region};
    use state::secretsmanager::{CURRENT, Version};
    use state::ssm::{self, Parameter, ParameterKind, Tier};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);
    const ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCd12";
    const PULL: &str = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource \
                        retrieval failed: unable to ";

    fn scope() -> Scope {
        Scope::new(AccountId::DEFAULT, Region::default())
    }

    fn text(text: &str) -> Value {
        Value::Text(Secret::new(text.to_owned()))
    }

    /// Puts a secret in, whose current version is the last of `values`; versions are called v1, v2, ….
    fn put_secret(state: &State, name: &str, values: &[Value]) {
        let mut secret = state::secretsmanager::Secret {
            name: name.to_owned(),
            arn: state::secretsmanager::Secret::arn_of(&scope(), name, "AbCd12"),
            description: None,
            kms_key_id: None,
            kind: None,
            versions: Vec::new(),
            tags: Vec::new(),
            policy: None,
            created_at: NOW,
            changed_at: NOW,
            accessed_on: None,
            deleted_at: None,
        };
        for (index, value) in values.iter().enumerate() {
            secret.add_version(Version {
                id: format!("v{}", index + 1),
                value: Arc::new(value.clone()),
                stages: vec![CURRENT.to_owned()],
                created_at: NOW,
                accessed_on: None,
            });
        }
        state.secretsmanager.secrets.insert(&scope(), &name.to_owned(), secret);
    }

    fn version(number: i64, value: &str, labels: &[&str]) -> ssm::Version {
        ssm::Version {
            number,
            kind: ParameterKind::SecureString,
            value: Arc::new(Secret::new(value.to_owned())),
            cipher_seed: 0,
            key_id: None,
            description: None,
            allowed_pattern: None,
            tier: Tier::Standard,
            data_type: "text".to_owned(),
            policies: Vec::new(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            modified_at: NOW,
            modified_by: Arn::global("iam", &scope(), "root"),
        }
    }

    fn world() -> Arc<State> {
        let state = State::in_memory();
        let json = r#"{"user":"ann","port":5432,"tls":true,"none":null,"big":1e21,"small":0.00001,"list":[1,"a"],
            "nested":{"b":1.5,"a":"x"},"long":12345678901234}"#;
        put_secret(&state, "db", &[text("old"), text(json)]);
        put_secret(&state, "plain", &[text("p@ss")]);
        put_secret(&state, "bytes", &[Value::Binary(Secret::new("AAEC".to_owned()))]);
        put_secret(&state, "empty", &[]);
        put_secret(&state, "deleted", &[text("x")]);
        state.secretsmanager.secrets.update(&scope(), &"deleted".to_owned(), |secret| {
            secret.deleted_at = Some(Timestamp::from_millis(2_000));
        });
        for name in ["/app/key", "key"] {
            let parameter = Parameter {
                name: name.to_owned(),
                arn: Parameter::arn_of(&scope(), name),
                tags: Vec::new(),
                earlier: vec![version(1, "first", &["stable"])],
                latest: version(2, "second", &[]),
            };
            state.ssm.parameters.insert(&scope(), &name.to_owned(), parameter);
        }
        state
    }

    fn resolved(value_from: &str) -> Result<String, String> {
        resolve(&world(), &scope(), value_from, NOW).map(|secret| secret.expose().to_owned())
    }

    #[track_caller]
    fn check(value_from: &str, expected: &str) {
        assert_eq!(resolved(value_from).as_deref(), Ok(expected), "{value_from}");
    }

    #[track_caller]
    fn fails(value_from: &str, expected: &str) {
        assert_eq!(resolved(value_from), Err(format!("{PULL}{expected}")), "{value_from}");
    }

    #[test]
    fn a_parameter_is_meant_by_name_or_arn() {
        check("/app/key", "second");
        check("key", "second");
        check("/app/key:1", "first");
        check("/app/key:stable", "first");
        check("arn:aws:ssm:us-east-1:000000000000:parameter/app/key", "second");
        check("arn:aws:ssm:us-east-1:000000000000:parameter/key:stable", "first");
    }

    #[test]
    fn a_secret_is_meant_by_arn() {
        let arn = |rest: &str| format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{rest}");
        check(&arn("plain-AbCd12"), "p@ss");
        check(&arn("plain"), "p@ss");
        check(&arn("plain-AbCd12:::"), "p@ss");
        check(&arn("bytes-AbCd12"), "");
        check(&arn("db-AbCd12::AWSPREVIOUS:"), "old");
        check(&arn("db-AbCd12:::v1"), "old");
        check(&arn("db-AbCd12::AWSPREVIOUS:v1"), "old");
    }

    #[test]
    fn a_key_is_taken_out_of_a_json_secret_as_go_writes_it() {
        for (key, value) in [
            ("user", "ann"),
            ("port", "5432"),
            ("tls", "true"),
            ("none", "<nil>"),
            ("big", "1e+21"),
            ("small", "1e-05"),
            ("long", "12345678901234"),
            ("list", "[1 a]"),
            ("nested", "map[a:x b:1.5]"),
        ] {
            check(&format!("{ARN}:{key}::"), value);
            check(&format!("{ARN}:{key}:AWSCURRENT:v2"), value);
        }
    }

    #[test]
    fn the_words_are_those_of_aws() {
        let asm = |rest: &str| format!("retrieve secret from asm: service call has been retried 1 time(s): {rest}");
        let arn = |name: &str| format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}");
        let fetch = |name: &str, cause: &str| {
            asm(&format!("failed to fetch secret {} from secrets manager: {cause}", arn(name)))
        };
        let not_found = "ResourceNotFoundException: Secrets Manager can't find the specified secret";
        fails(&arn("nope"), &fetch("nope", &format!("{not_found}.")));
        fails(&arn("nope:key::"), &fetch("nope", &format!("{not_found}.")));
        fails(&arn("empty"), &fetch("empty", &format!("{not_found} value for staging label: AWSCURRENT")));
        fails(&arn("plain::X:"), &fetch("plain", &format!("{not_found} value for staging label: X")));
        fails(&arn("plain:::v9"), &fetch("plain", &format!("{not_found} value for VersionId: v9")));
        fails(
            &arn("plain::X:v1"),
            &fetch(
                "plain",
                "InvalidRequestException: You provided a VersionStage that is not associated to the provided \
                 VersionId.",
            ),
        );
        fails(
            &arn("deleted"),
            &fetch(
                "deleted",
                "InvalidRequestException: You can't perform this operation on the secret because it was marked for \
                 deletion.",
            ),
        );
        fails(&format!("{ARN}:nope::"), &asm("retrieved secret from Secrets Manager did not contain json key nope"));
        fails(&arn("plain:key::"), &asm("invalid character 'p' looking for beginning of value"));
        fails(&arn("bytes:key::"), &asm("unexpected end of JSON input"));
        fails(&arn("plain:key"), &asm("unexpected ARN format with parameters when trying to retrieve ASM secret"));
        let ssm = "retrieve secrets from ssm: service call has been retried 1 time(s): invalid ssm parameters: ";
        fails("/app/nope", &format!("{ssm}/app/nope"));
        fails("/app/key:9", &format!("{ssm}/app/key:9"));
    }

    #[test]
    fn missing_parameters_are_named_together() {
        let wanted = [("A", "/nope"), ("B", "/app/key"), ("C", "nada")];
        let reason = resolve_all(&world(), &scope(), wanted, NOW).unwrap_err();
        assert!(reason.ends_with("invalid ssm parameters: /nope,nada"), "{reason}");
        let found = resolve_all(&world(), &scope(), [("A", "key"), ("B", ARN)], NOW).unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn a_region_is_that_of_the_arn() {
        let elsewhere = Scope::new(AccountId::DEFAULT, Region::parse("eu-west-1").unwrap());
        for value_from in [ARN, "arn:aws:ssm:us-east-1:000000000000:parameter/key"] {
            assert!(resolve(&world(), &elsewhere, value_from, NOW).is_ok(), "{value_from}");
        }
        assert!(resolve(&world(), &elsewhere, "key", NOW).is_err());
    }

    #[test]
    fn json_is_refused_in_the_words_of_go() {
        for (text, words) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":", "unexpected end of JSON input"),
            ("'quoted'", r"invalid character '\'' looking for beginning of value"),
            ("test123", "invalid character 'e' in literal true (expecting 'r')"),
            ("12ab", "invalid character 'a' after top-level value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"),
            ("\"text\"", "json: cannot unmarshal string into Go value of type map[string]interface {}"),
            ("[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
            ("5", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        ] {
            assert_eq!(object(text), Err(SecretFailure::NotJson(words.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_registry_is_logged_in_to_with_a_secret() {
        let state = world();
        put_secret(&state, "registry", &[text(r#"{"username":"ann","password":"hunter2"}"#)]);
        put_secret(&state, "half", &[text(r#"{"username":"ann"}"#)]);
        let get = |name: &str| registry_credentials(&state, &scope(), name, NOW);
        let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:registry-AbCd12";
        for parameter in ["registry", arn] {
            let credentials = get(parameter).unwrap();
            assert_eq!((credentials.username.as_str(), credentials.password.expose()), ("ann", "hunter2"));
            assert!(!format!("{credentials:?}").contains("hunter2"));
        }
        let prefix = format!("{PULL}get registry auth from asm: service call has been retried 1 time(s): ");
        assert_eq!(
            get("nope").unwrap_err(),
            format!(
                "{prefix}asm fetching secret from the service for nope: ResourceNotFoundException: Secrets Manager can't \
                 find the specified secret."
            )
        );
        assert!(get("plain").unwrap_err().starts_with(&format!("{prefix}asm fetching")));
        assert!(get("half").unwrap_err().starts_with(&format!("{prefix}asm fetching")));
    }
}
