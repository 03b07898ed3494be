//! The users of registries that `docker login` has noted: `config.json`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use node::RegistryCredentials;
use serde::Deserialize;

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What docker calls its own hub.
const HUB_KEYS: [&str; 3] = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    auths: HashMap<String, Entry>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// Where the file is: in the folder that `DOCKER_CONFIG` names, or in `.docker` of the user's home. (Credential helpers
/// are programs, and none is run.)
pub(crate) fn default_path() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    Some(folder.or_else(home)?.join("config.json"))
}

/// Finds the user for `registry` in the file at `path`, which is read each time: a login takes effect at once.
/// Blocks.
pub(super) fn credentials(path: &Path, registry: &str) -> Option<RegistryCredentials> {
    let found = std::fs::metadata(path).ok()?;
    // A pipe would have its reader wait for who writes.
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        return None;
    }
    let content = std::fs::read(path).ok()?;
    match serde_json::from_slice::<File>(&content) {
        Ok(file) => find(&file, registry),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the users of registries");
            None
        }
    }
}

fn find(file: &File, registry: &str) -> Option<RegistryCredentials> {
    let is_hub = registry == "docker.io";
    let key = file.auths.iter().find(|(key, _)| match is_hub {
        true => HUB_KEYS.contains(&key.as_str()),
        false => host_of(key) == registry,
    });
    decoded(key?.1)
}

/// Takes scheme and path away: old versions of docker wrote whole URLs.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

fn decoded(entry: &Entry) -> Option<RegistryCredentials> {
    if !entry.username.is_empty() {
        return Some(RegistryCredentials { username: entry.username.clone(), password: entry.password.clone() });
    }
    let text = String::from_utf8(STANDARD.decode(&entry.auth).ok()?).ok()?;
    let (username, password) = text.trim_end_matches('\0').split_once(':')?;
    Some(RegistryCredentials { username: username.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_the_names_that_docker_writes() {
        let file = serde_json::from_str::<File>(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
                "localhost:5000": {"auth": "YTpiOmM="},
                "https://ghcr.io/v2/": {"username": "u", "password": "p"},
                "empty.example": {}, "broken.example": {"auth": "!"}
            }, "credsStore": "desktop"}"#,
        )
        .unwrap();
        let rows = [
            ("docker.io", Some(("hub", "pw"))),
            ("localhost:5000", Some(("a", "b:c"))),
            ("ghcr.io", Some(("u", "p"))),
            ("localhost:5001", None),
            ("empty.example", None),
            ("broken.example", None),
        ];
        for (registry, expected) in rows {
            let found = find(&file, registry);
            let found = found.as_ref().map(|user| (user.username.as_str(), user.password.as_str()));
            assert_eq!(found, expected, "{registry}");
        }
    }

    #[test]
    fn a_missing_or_broken_file_has_no_users() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(credentials(&pipe, "docker.io"), None, "and nobody waits for one");
        let path = folder.path().join("config.json");
        assert_eq!(credentials(&path, "docker.io"), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(credentials(&path, "docker.io"), None);
    }

    #[test]
    fn a_password_is_in_no_debug_text() {
        let user = RegistryCredentials { username: "u".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{user:?}").contains("secret"));
    }
}
