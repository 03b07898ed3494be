//! `cargo xtask tidy`: the layers and the house rules that can be checked from `cargo metadata` and the text.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Files of more lines are reported.
const LINES_MAX: usize = 800;

/// Crates that may depend only on these of ours; `services/*` stands for each crate of that folder.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("wire", &["base"]),
    ("api", &["base", "wire"]),
    ("state", &["base"]),
    ("node", &["base"]),
    ("reconcile", &["base"]),
    ("registry", &["base", "state", "wire"]),
    ("schedule", &["base"]),
    ("services/*", &["api", "base", "schedule", "state", "wire"]),
    ("controllers", &["base", "node", "reconcile", "schedule", "splunk", "state"]),
    ("shim-protocol", &["base"]),
    ("splunk", &[]),
    ("disk", &[]),
    ("shim", &["base", "disk", "shim-protocol"]),
    ("runtime", &["base", "disk", "node", "shim-protocol"]),
    ("network", &["base", "node"]),
    ("image", &["base", "node"]),
    ("balancer", &["base", "node"]),
    ("task-metadata", &["base", "node", "state"]),
    ("bench", &[]),
    ("xtask", &[]),
];

/// Crates of others that only these of ours may depend on.
const CONFINED: &[(&str, &[&str])] = &[
    ("libcontainer", &["shim"]),
    ("dashmap", &["state"]),
    ("redb", &["state"]),
    ("minicbor", &["wire"]),
    ("quick-xml", &["wire"]),
    ("hyper", &["balancer", "bench", "server", "testkit"]),
];

/// File and folder names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "manager", "misc"];

/// Places that the project never names, in two halves so that this file does not name them either.
const FORBIDDEN_PLACES: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("proxy.golang", ".org"),
    (" /wor", "k/"),
    ("\"/wor", "k/"),
    ("`/wor", "k/"),
    ("(/wor", "k/"),
    ("=/wor", "k/"),
    ("/root", "/."),
];

/// Files that tools write, with places of their own.
const WRITTEN_BY_TOOLS: &[&str] = &["Cargo.lock", "package-lock.json", "go.sum"];

/// A crate of the workspace.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; none for what the crate itself uses.
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// A file of the project.
struct File {
    path: String,
    text: String,
}

/// Prints one line per violation and fails if there is any.
pub(crate) fn run(root: &Path) -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata fails: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cannot read cargo's metadata")?;
    let found = violations(&metadata.packages, &files(root)?);
    for violation in &found {
        crate::say(violation);
    }
    if found.is_empty() { Ok(()) } else { bail!("{} violations of the house rules", found.len()) }
}

/// Reads every text file that git knows or would add.
fn files(root: &Path) -> Result<Vec<File>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files fails: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let names = names.split('\0').filter(|name| !name.is_empty());
    // A file that is deleted and not committed yet, or is no text, has nothing to check.
    let read = |name: &str| Some(File { path: name.to_owned(), text: fs::read_to_string(root.join(name)).ok()? });
    Ok(names.filter_map(read).collect())
}

/// Returns what breaks the rules, one line each.
fn violations(packages: &[Package], files: &[File]) -> Vec<String> {
    let mut found = packages.iter().flat_map(|package| package_violations(package, packages)).collect::<Vec<_>>();
    found.extend(files.iter().flat_map(file_violations));
    found
}

fn package_violations(package: &Package, all: &[Package]) -> Vec<String> {
    let is_service = package.manifest_path.contains("/services/") && package.name != "services";
    let layer = if is_service { "services/*" } else { package.name.as_str() };
    let allowed = LAYERS.iter().find(|(name, _)| *name == layer).map(|(_, allowed)| *allowed);
    let mut found = Vec::new();
    for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
        let name = dependency.name.as_str();
        let is_ours = all.iter().any(|package| package.name == name);
        if is_ours && allowed.is_some_and(|allowed| !allowed.contains(&name)) {
            found.push(format!("{}: the layer forbids to depend on {name} (src/README.md)", package.name));
        }
        let confined = CONFINED.iter().find(|(confined, _)| *confined == name);
        if let Some((_, owners)) = confined
            && !owners.contains(&package.name.as_str())
        {
            found.push(format!("{}: only {} may depend on {name}", package.name, owners.join(", ")));
        }
    }
    found
}

fn file_violations(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |what: String| found.push(format!("{}: {what}", file.path));
    let is_rust = file.path.ends_with(".rs");
    let is_generated = file.text.starts_with("//! GENERATED");
    let lines = file.text.lines().count();
    if is_rust && !is_generated && lines > LINES_MAX {
        report(format!("{lines} lines are more than {LINES_MAX}: split it by resource or decision"));
    }
    for part in Path::new(&file.path).iter().filter_map(|part| part.to_str()) {
        let stem = part.split('.').next().unwrap_or(part);
        if file.path.starts_with("src/") && EMPTY_NAMES.contains(&stem) {
            report(format!("the name `{part}` says nothing"));
        }
    }
    if is_rust && file.path.ends_with("/lib.rs") && !file.text.starts_with("//!") {
        report("a crate begins with `//!`: what it is for, what it must not know".to_owned());
    }
    if !WRITTEN_BY_TOOLS.iter().any(|name| file.path.ends_with(name)) {
        for (first, second) in FORBIDDEN_PLACES {
            let place = format!("{first}{second}");
            if let Some(line) = file.text.lines().position(|line| line.contains(&place)) {
                report(format!("line {} names `{}`, a place that the project must not name", line + 1, place.trim()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let folder = if name == "ecs" { "src/services/ecs" } else { name };
        let dependency = |name: &&str| match name.strip_prefix("dev:") {
            Some(name) => Dependency { name: name.to_owned(), kind: Some("dev".to_owned()) },
            None => Dependency { name: (*name).to_owned(), kind: None },
        };
        Package {
            name: name.to_owned(),
            manifest_path: format!("/x/{folder}/Cargo.toml"),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    #[track_caller]
    fn check_package(name: &str, dependencies: &[&str], expected: &[&str]) {
        let all = ["base", "wire", "api", "state", "node", "ecs", "shim", "runtime"].map(|name| package(name, &[]));
        assert_eq!(package_violations(&package(name, dependencies), &all), expected);
    }

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        assert_eq!(file_violations(&File { path: path.to_owned(), text: text.to_owned() }), expected);
    }

    #[test]
    fn layers_hold() {
        check_package("ecs", &["api", "base", "state", "wire", "http", "dev:node"], &[]);
        check_package("ecs", &["node"], &["ecs: the layer forbids to depend on node (src/README.md)"]);
        check_package("controllers", &["wire"], &["controllers: the layer forbids to depend on wire (src/README.md)"]);
        check_package("node", &["base", "state"], &["node: the layer forbids to depend on state (src/README.md)"]);
        check_package("server", &["wire", "node", "shim", "hyper"], &[]);
        check_package(
            "runtime",
            &["shim", "dev:shim"],
            &["runtime: the layer forbids to depend on shim (src/README.md)"],
        );
    }

    #[test]
    fn some_crates_are_confined() {
        check_package("shim", &["libcontainer"], &[]);
        check_package("runtime", &["libcontainer"], &["runtime: only shim may depend on libcontainer"]);
        check_package("ecs", &["dashmap"], &["ecs: only state may depend on dashmap"]);
        check_package("wire", &["quick-xml", "dev:hyper"], &[]);
    }

    #[test]
    fn files_are_small_and_named() {
        let long = "\n".repeat(LINES_MAX + 1);
        check_file("src/x/a.rs", &long, &["src/x/a.rs: 801 lines are more than 800: split it by resource or decision"]);
        check_file("src/x/a.rs", &format!("//! GENERATED by{long}"), &[]);
        check_file("api-models/ecs/model.json", &long, &[]);
        check_file("src/x/utils.rs", "", &["src/x/utils.rs: the name `utils.rs` says nothing"]);
        check_file("src/x/common/a.rs", "", &["src/x/common/a.rs: the name `common` says nothing"]);
        check_file(
            "src/x/lib.rs",
            "mod a;",
            &["src/x/lib.rs: a crate begins with `//!`: what it is for, what it must not know"],
        );
        check_file("src/x/lib.rs", "//! What.", &[]);
    }

    #[test]
    fn places_of_build_machines_and_registries_are_not_named() {
        let place = ["/wor", "k/"].concat();
        let expected = format!("README.md: line 2 names `{place}`, a place that the project must not name");
        check_file("README.md", &format!("x\ncd {place}main"), &[&expected]);
        check_file("Cargo.lock", &["crates", ".io"].concat(), &[]);
        check_file("src/overlay.rs", "upper/work/dir", &[]);
    }
}
