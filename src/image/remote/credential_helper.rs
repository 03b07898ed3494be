//! Docker's credential helpers: programs that know the users of registries.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use node::RegistryCredentials;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::login::Login;

/// How long a helper may take. Some ask the user.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// What stands for the user where the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Why a helper told nothing. What it wrote is not told: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("it cannot be run")]
    Run(#[source] io::Error),
    #[error("it does not answer within {} seconds", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("its answer is none")]
    Answer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Says whether docker's configuration may name a helper so: a plain end of a file's name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Asks `program` for the user of `server`; none if it knows none.
pub(super) async fn ask(program: &OsStr, server: &str) -> Result<Option<Login>, HelperError> {
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, run(program, server)).await;
    let (has_succeeded, answer) = answered.map_err(|_| HelperError::Timeout)?.map_err(HelperError::Run)?;
    if !has_succeeded {
        // So it says that it knows nobody; its words for that differ.
        return Ok(None);
    }
    let answer = serde_json::from_slice::<Answer>(&answer).map_err(|_| HelperError::Answer)?;
    Ok(match answer {
        Answer { secret, .. } if secret.is_empty() => None,
        Answer { username, secret } if username == TOKEN_USER => Some(Login::IdentityToken(secret)),
        Answer { username, secret } => Some(Login::Password(RegistryCredentials { username, password: secret })),
    })
}

/// Runs the program to its end. It is killed if nobody waits for that any more.
async fn run(program: &OsStr, server: &str) -> io::Result<(bool, Vec<u8>)> {
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that has ended without reading may have answered all the same.
        _ = input.write_all(format!("{server}\n").as_bytes()).await;
    }
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    }
    Ok((child.wait().await?.success(), answer))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    async fn answer(script: &str) -> Result<Option<Login>, HelperError> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-test");
        std::fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        ask(program.as_os_str(), "ghcr.io").await
    }

    fn password(username: &str, password: &str) -> Login {
        Login::Password(RegistryCredentials { username: username.to_owned(), password: password.to_owned() })
    }

    #[tokio::test]
    async fn a_helper_is_told_the_server_and_tells_its_user() {
        let script = r#"read server; echo "{\"ServerURL\":\"$server\",\"Username\":\"$1-$server\",\"Secret\":\"s\"}""#;
        assert_eq!(answer(script).await.unwrap(), Some(password("get-ghcr.io", "s")));
    }

    #[tokio::test]
    async fn a_helper_may_tell_an_identity_token() {
        let told = answer(r#"echo '{"ServerURL":"x","Username":"<token>","Secret":"t"}'"#).await.unwrap();
        assert_eq!(told, Some(Login::IdentityToken("t".to_owned())));
    }

    #[tokio::test]
    async fn a_helper_that_knows_nobody_says_so_by_its_status() {
        assert_eq!(answer("echo credentials not found in native keychain; exit 1").await.unwrap(), None);
        assert_eq!(answer(r#"echo '{"Username":"","Secret":""}'"#).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_not_shown() {
        let error = answer("echo password").await.unwrap_err();
        assert!(matches!(error, HelperError::Answer), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("password"));
        let endless = answer("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done").await;
        assert!(endless.is_err() || endless.unwrap().is_none());
        let missing = ask(OsStr::new("/nowhere/docker-credential-x"), "ghcr.io").await;
        assert!(matches!(missing, Err(HelperError::Run(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_helper_that_hangs_is_given_up() {
        assert!(matches!(answer("exec sleep 3600").await, Err(HelperError::Timeout)));
    }

    #[test]
    fn a_helper_is_named_by_a_plain_name() {
        for (name, is_plain) in
            [("ecr-login", true), ("desktop.exe", true), ("", false), ("../x", false), ("a b", false)]
        {
            assert_eq!(is_name(name), is_plain, "{name}");
        }
    }
}
