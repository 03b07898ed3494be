//! Who the container's process is: names are looked up in the image's own passwd and group files.

use std::iter;

use crate::error::ShimError;

/// The largest id that a container may be given by number.
const ID_MAX: u32 = i32::MAX as u32;

/// The ids of a process, and its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) supplementary: Vec<u32>,
    pub(crate) home: String,
}

/// Resolves `user[:group]`. A number needs no entry; a name without one is an error. Supplementary groups come from the
/// group file unless a group is named. The primary group is among them, as containerd has it: a process that changes its
/// group does not lose what the first one may, nor gain what the first one may not.
pub(crate) fn resolve(wanted: &str, passwd: &str, group: &str) -> Result<User, ShimError> {
    let (wanted_user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (wanted, None),
    };
    let wanted_user = if wanted_user.is_empty() { "0" } else { wanted_user };
    let id = parse_id(wanted_user);
    let entry = passwd
        .lines()
        .filter_map(Account::parse)
        .find(|entry| entry.name == wanted_user || id.is_some_and(|id| entry.uid == id));
    let (name, uid, gid, home) = match (entry, id) {
        (Some(entry), _) => (Some(entry.name), entry.uid, entry.gid, entry.home),
        (None, Some(id)) => (None, id, 0, "/"),
        (None, None) => {
            return Err(ShimError::create(format!(
                "unable to find user {wanted_user}: no matching entries in passwd file"
            )));
        }
    };
    let (gid, supplementary) = match wanted_group {
        Some(wanted) => (find_group(wanted, group)?, Vec::new()),
        None => (gid, name.map(|name| groups_of(name, gid, group)).unwrap_or_default()),
    };
    let supplementary = iter::once(gid).chain(supplementary).collect();
    Ok(User { uid, gid, supplementary, home: if home.is_empty() { "/".to_owned() } else { home.to_owned() } })
}

fn parse_id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= ID_MAX)
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Self { name, uid, gid, home })
    }
}

/// Reads a line of the group file: name, id, members.
fn parse_group(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.trim().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let gid = fields.nth(1)?.parse().ok()?;
    Some((name, gid, fields.next().unwrap_or_default()))
}

fn find_group(wanted: &str, group: &str) -> Result<u32, ShimError> {
    let id = parse_id(wanted);
    let found = group.lines().filter_map(parse_group).find(|(name, gid, _)| *name == wanted || Some(*gid) == id);
    found
        .map(|(_, gid, _)| gid)
        .or(id)
        .ok_or_else(|| ShimError::create(format!("unable to find group {wanted}: no matching entries in group file")))
}

fn groups_of(name: &str, primary: u32, group: &str) -> Vec<u32> {
    group
        .lines()
        .filter_map(parse_group)
        .filter(|(_, gid, members)| *gid != primary && members.split(',').any(|member| member == name))
        .map(|(_, gid, _)| gid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbare:x:7:8\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\nwheel:x:10:root,app\nweb:x:33:app\n";

    #[test]
    fn users_resolve_as_docker_resolves_them() {
        let cases = [
            ("", (0, 0, vec![0, 10], "/root")),
            ("root", (0, 0, vec![0, 10], "/root")),
            ("app", (1000, 1001, vec![1001, 10, 33], "/home/app")),
            ("1000", (1000, 1001, vec![1001, 10, 33], "/home/app")),
            ("app:web", (1000, 33, vec![33], "/home/app")),
            ("app:77", (1000, 77, vec![77], "/home/app")),
            ("4242", (4242, 0, vec![0], "/")),
            ("4242:4343", (4242, 4343, vec![4343], "/")),
            (":web", (0, 33, vec![33], "/root")),
            ("bare", (7, 8, vec![8], "/")),
        ];
        for (wanted, (uid, gid, supplementary, home)) in cases {
            let user = resolve(wanted, PASSWD, GROUP).unwrap();
            let expected = User { uid, gid, supplementary, home: home.to_owned() };
            assert_eq!(user, expected, "{wanted}");
        }
    }

    #[test]
    fn unknown_names_are_named_in_the_error() {
        let user = resolve("nobody", PASSWD, GROUP).unwrap_err().to_string();
        assert_eq!(user, "unable to find user nobody: no matching entries in passwd file");
        let group = resolve("app:nobody", PASSWD, GROUP).unwrap_err().to_string();
        assert_eq!(group, "unable to find group nobody: no matching entries in group file");
    }

    #[test]
    fn an_id_beyond_the_kernels_is_taken_for_a_name() {
        assert!(resolve("4294967295", PASSWD, GROUP).is_err());
    }
}
