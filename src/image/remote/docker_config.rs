//! The users of registries that `docker login` has noted: `config.json`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use node::RegistryCredentials;
use serde::Deserialize;

use super::credential_helper;
use super::login::Login;

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What docker calls its own hub.
const HUB_KEYS: [&str; 3] = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: HashMap<String, Entry>,
    /// The helper for registries without one of their own.
    creds_store: String,
    /// Helpers by registry.
    cred_helpers: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

/// What the file says of a registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// The credential helper that is to be asked first.
    pub(super) helper: Option<Helper>,
    /// Whom the file itself has.
    pub(super) login: Option<Login>,
}

/// A credential helper, and what it calls the registry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Helper {
    pub(super) program: String,
    pub(super) server: String,
}

/// Where the file is: in the folder that `DOCKER_CONFIG` names, or in `.docker` of the user's home.
pub(crate) fn default_path() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    Some(folder.or_else(home)?.join("config.json"))
}

/// Reads what the file at `path` says of `registry`, anew each time: a login takes effect at once. Blocks.
pub(super) fn read(path: &Path, registry: &str) -> Noted {
    let Ok(found) = std::fs::metadata(path) else { return Noted::default() };
    // A pipe would have its reader wait for who writes.
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        return Noted::default();
    }
    let Ok(content) = std::fs::read(path) else { return Noted::default() };
    match serde_json::from_slice::<File>(&content) {
        Ok(file) => find(&file, registry),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the users of registries");
            Noted::default()
        }
    }
}

fn find(file: &File, registry: &str) -> Noted {
    let is_hub = registry == "docker.io";
    let is_of = |key: &str| match is_hub {
        true => HUB_KEYS.contains(&key),
        false => host_of(key) == registry,
    };
    let entry = file.auths.iter().find(|(key, _)| is_of(key)).map(|(_, entry)| entry);
    let own = file.cred_helpers.iter().find(|(key, _)| is_of(key)).map(|(_, name)| name);
    let helper = own.or(Some(&file.creds_store)).filter(|name| !name.is_empty()).and_then(|name| {
        if !credential_helper::is_name(name) {
            tracing::warn!(registry, "the credential helper of docker's configuration has no plain name");
            return None;
        }
        let server = if is_hub { HUB_KEYS[0] } else { registry };
        Some(Helper { program: format!("docker-credential-{name}"), server: server.to_owned() })
    });
    Noted { helper, login: entry.and_then(login) }
}

/// Takes scheme and path away: old versions of docker wrote whole URLs.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

fn login(entry: &Entry) -> Option<Login> {
    if !entry.identitytoken.is_empty() {
        return Some(Login::IdentityToken(entry.identitytoken.clone()));
    }
    let password = |username: &str, password: &str| {
        let (username, password) = (username.to_owned(), password.to_owned());
        Login::Password(RegistryCredentials { username, password })
    };
    if !entry.username.is_empty() {
        return Some(password(&entry.username, &entry.password));
    }
    let text = String::from_utf8(STANDARD.decode(&entry.auth).ok()?).ok()?;
    let (username, secret) = text.trim_end_matches('\0').split_once(':')?;
    Some(password(username, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(helper: Option<(&str, &str)>, login: Option<Login>) -> Noted {
        let helper = helper
            .map(|(name, server)| Helper { program: format!("docker-credential-{name}"), server: server.to_owned() });
        Noted { helper, login }
    }

    fn user(username: &str, password: &str) -> Option<Login> {
        let (username, password) = (username.to_owned(), password.to_owned());
        Some(Login::Password(RegistryCredentials { username, password }))
    }

    #[test]
    fn users_are_found_by_the_names_that_docker_writes() {
        let file = serde_json::from_str::<File>(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
                "localhost:5000": {"auth": "YTpiOmM="},
                "https://ghcr.io/v2/": {"username": "u", "password": "p"},
                "cr.example": {"auth": "dG9rZW46", "identitytoken": "refresh"},
                "empty.example": {}, "broken.example": {"auth": "!"}
            }}"#,
        )
        .unwrap();
        let rows = [
            ("docker.io", user("hub", "pw")),
            ("localhost:5000", user("a", "b:c")),
            ("ghcr.io", user("u", "p")),
            ("cr.example", Some(Login::IdentityToken("refresh".to_owned()))),
            ("localhost:5001", None),
            ("empty.example", None),
            ("broken.example", None),
        ];
        for (registry, expected) in rows {
            assert_eq!(find(&file, registry), noted(None, expected), "{registry}");
        }
    }

    #[test]
    fn a_registrys_own_helper_goes_before_the_common_one() {
        let file = serde_json::from_str::<File>(
            r#"{"auths": {"ghcr.io": {"username": "u", "password": "p"}}, "credsStore": "desktop",
                "credHelpers": {"public.ecr.aws": "ecr-login", "evil.example": "../../bin/sh", "none.example": ""}}"#,
        )
        .unwrap();
        let rows = [
            ("public.ecr.aws", noted(Some(("ecr-login", "public.ecr.aws")), None)),
            ("docker.io", noted(Some(("desktop", "https://index.docker.io/v1/")), None)),
            ("ghcr.io", noted(Some(("desktop", "ghcr.io")), user("u", "p"))),
            ("evil.example", noted(None, None)),
            ("none.example", noted(None, None)),
        ];
        for (registry, expected) in rows {
            assert_eq!(find(&file, registry), expected, "{registry}");
        }
    }

    #[test]
    fn a_missing_or_broken_file_has_no_users() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(read(&pipe, "docker.io"), Noted::default(), "and nobody waits for one");
        let path = folder.path().join("config.json");
        assert_eq!(read(&path, "docker.io"), Noted::default());
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read(&path, "docker.io"), Noted::default());
    }

    #[test]
    fn a_password_is_in_no_debug_text() {
        let user = RegistryCredentials { username: "u".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{user:?}").contains("secret"));
        assert!(!format!("{:?}", Login::IdentityToken("secret".to_owned())).contains("secret"));
    }
}
