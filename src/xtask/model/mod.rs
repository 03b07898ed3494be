//! The models in `api-models/`: where they are, what they list, and how they are pruned.

pub(crate) mod patch;
pub(crate) mod prune;
pub(crate) mod route;
pub(crate) mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use tree::Tree;

/// What `operations.toml` lists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listing {
    /// The operations that are generated and implemented.
    pub(crate) operations: Vec<String>,
    /// Notes for the support table, by operation.
    #[serde(default)]
    pub(crate) notes: BTreeMap<String, String>,
    /// Whether the support table also lists the operations that are not implemented.
    #[serde(default)]
    pub(crate) lists_every_operation: bool,
}

/// A service of `api-models/`.
#[derive(Debug)]
pub(crate) struct Model {
    /// The folder's name, which is botocore's name of the service.
    pub(crate) id: String,
    /// What is listed.
    pub(crate) listing: Listing,
    /// The pruned model with its patches applied.
    pub(crate) tree: Tree,
}

impl Model {
    /// Returns the names of all operations, sorted.
    pub(crate) fn all_operations(&self) -> Vec<&str> {
        let listed = self.tree.get("operations").into_iter().flat_map(Tree::entries).map(|(name, _)| name.as_str());
        let others = self.tree.get("otherOperations").into_iter().flat_map(Tree::items).filter_map(Tree::text);
        let mut names = listed.chain(others).collect::<Vec<_>>();
        names.sort_unstable();
        names
    }

    /// Returns a value of the metadata; empty if it has none.
    pub(crate) fn metadata(&self, name: &str) -> &str {
        self.tree.get("metadata").and_then(|metadata| metadata.text_of(name)).unwrap_or_default()
    }
}

/// Returns the folders of `api-models/`, sorted.
pub(crate) fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("api-models");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("operations.toml").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Reads what a folder lists.
pub(crate) fn listing(folder: &Path) -> Result<Listing> {
    let text = read(&folder.join("operations.toml"))?;
    toml::from_str(&text).with_context(|| format!("cannot read the operations of {}", folder.display()))
}

/// Reads a model and applies its patches.
pub(crate) fn load(folder: &Path) -> Result<Model> {
    let listing = listing(folder)?;
    let mut tree = json(&folder.join("model.json"))?;
    patch::apply(&mut tree, &json(&folder.join("patches.json"))?)
        .with_context(|| format!("cannot patch {}", folder.display()))?;
    let id = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    for name in &listing.operations {
        if tree.get("operations").and_then(|operations| operations.get(name)).is_none() {
            bail!("{id} lists {name}, which its model.json lacks: run `cargo xtask models`");
        }
    }
    Ok(Model { id, listing, tree })
}

/// Reads every model.
pub(crate) fn load_all(root: &Path) -> Result<Vec<Model>> {
    folders(root)?.iter().map(|folder| load(folder)).collect()
}

fn json(path: &Path) -> Result<Tree> {
    serde_json::from_str(&read(path)?).with_context(|| format!("{} is not JSON", path.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
