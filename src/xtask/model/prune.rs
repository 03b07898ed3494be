//! `cargo xtask models`: takes from botocore's models what the listed operations reach, without prose.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::tree::Tree;
use super::{folders, listing, route};

/// What is prose, or for clients only.
const DROPPED: &[&str] = &[
    "documentation",
    "documentationUrl",
    "examples",
    "deprecatedMessage",
    "deprecatedSince",
    "endpoint",
    "endpointdiscovery",
    "idempotencyToken",
    "sensitive",
    "staticContextParams",
    "operationContextParams",
    "contextParam",
];

/// Writes `model.json` of every folder of `api-models/`.
pub(crate) fn run(root: &Path) -> Result<()> {
    let data = botocore()?;
    for folder in folders(root)? {
        let id = folder.file_name().context("a model has no name")?;
        let source = newest(&data.join(id))?;
        let bytes = fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text)?;
        let model: Tree = serde_json::from_str(&text).context("the model is not JSON")?;
        let pruned = prune(&model, &listing(&folder)?.operations)
            .with_context(|| format!("cannot prune {}", source.display()))?;
        fs::write(folder.join("model.json"), serde_json::to_string_pretty(&pruned)? + "\n")?;
        let patches = folder.join("patches.json");
        if !patches.exists() {
            fs::write(patches, "[]\n")?;
        }
    }
    Ok(())
}

/// Finds botocore's data folder.
fn botocore() -> Result<PathBuf> {
    let script = "import botocore; print(botocore.__path__[0])";
    let output = Command::new("python3").args(["-c", script]).output().context("cannot run python3")?;
    ensure!(output.status.success(), "python3 has no botocore: pip install botocore");
    let path = String::from_utf8(output.stdout).context("the path of botocore is not UTF-8")?;
    Ok(Path::new(path.trim()).join("data"))
}

fn newest(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("botocore has no {}", folder.display()))?;
    let models = entries.filter_map(|entry| Some(entry.ok()?.path().join("service-2.json.gz")));
    models.filter(|path| path.is_file()).max().with_context(|| format!("{} has no model", folder.display()))
}

/// Keeps metadata, the listed operations, the shapes that they reach, and the names of the other operations.
fn prune(model: &Tree, listed: &[String]) -> Result<Tree> {
    let all = model.get("operations").context("the model has no operations")?.entries();
    for name in listed {
        ensure!(all.iter().any(|(known, _)| known == name), "the model has no operation {name}");
    }
    let is_listed = |name: &String| listed.contains(name);
    let operations = all.iter().filter(|(name, _)| is_listed(name)).map(|(name, value)| (name.clone(), lean(value)));
    let operations = Tree::Object(operations.collect());
    let mut others = all.iter().map(|(name, _)| name).filter(|name| !is_listed(name)).cloned().collect::<Vec<_>>();
    others.sort();

    let shapes = model.get("shapes").context("the model has no shapes")?;
    // A request for one of the others must be known as such, and not be taken for another one on the same path.
    let routes =
        all.iter().filter(|(name, _)| !is_listed(name)).map(|(name, it)| (name.clone(), route::of(it, shapes)));
    let routes = Tree::Object(routes.collect());
    let mut reached = BTreeSet::new();
    reach(&operations, shapes, &mut reached);
    let kept = shapes.entries().iter().filter(|(name, _)| reached.contains(name.as_str()));
    let mut pruned = vec![
        ("metadata".to_owned(), lean(model.get("metadata").context("the model has no metadata")?)),
        ("operations".to_owned(), operations),
        ("otherOperations".to_owned(), Tree::List(others.into_iter().map(Tree::Text).collect())),
        ("shapes".to_owned(), Tree::Object(kept.map(|(name, shape)| (name.clone(), lean_shape(shape))).collect())),
    ];
    if route::is_rest(model) {
        pruned.push(("otherRoutes".to_owned(), routes));
    }
    Ok(Tree::Object(pruned))
}

/// Drops prose from a tree of traits.
fn lean(tree: &Tree) -> Tree {
    match tree {
        Tree::Object(entries) => {
            let kept = entries.iter().filter(|(name, _)| !DROPPED.contains(&name.as_str()));
            Tree::Object(kept.map(|(name, value)| (name.clone(), lean(value))).collect())
        }
        Tree::List(items) => Tree::List(items.iter().map(lean).collect()),
        other => other.clone(),
    }
}

/// Drops prose from a shape, but no member: a member may be called `documentation`.
fn lean_shape(shape: &Tree) -> Tree {
    let Tree::Object(entries) = lean(shape) else { return lean(shape) };
    let members = shape.get("members").map(|members| {
        let all = members.entries().iter().map(|(name, member)| (name.clone(), lean(member)));
        Tree::Object(all.collect())
    });
    let kept = entries.into_iter().map(|(name, value)| match (&members, name.as_str()) {
        (Some(members), "members") => (name, members.clone()),
        _ => (name, value),
    });
    Tree::Object(kept.collect())
}

/// Adds to `reached` every shape that a tree names under `shape`.
fn reach<'a>(tree: &'a Tree, shapes: &'a Tree, reached: &mut BTreeSet<String>) {
    if let Some(name) = tree.text_of("shape")
        && reached.insert(name.to_owned())
        && let Some(shape) = shapes.get(name)
    {
        reach(shape, shapes, reached);
    }
    tree.entries().iter().for_each(|(_, value)| reach(value, shapes, reached));
    tree.items().iter().for_each(|item| reach(item, shapes, reached));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pruned_model_has_what_is_reached_and_every_name() {
        let model: Tree = serde_json::from_str(
            r#"{"metadata":{"apiVersion":"1"},"operations":{
                "B":{"input":{"shape":"In"},"documentation":"x"},"A":{"input":{"shape":"Gone"}},"C":{}},
               "shapes":{"In":{"type":"structure","members":{"documentation":{"shape":"Text","documentation":"x"}}},
                "Text":{"type":"string"},"Gone":{"type":"string"}}}"#,
        )
        .unwrap();
        let pruned = prune(&model, &["B".to_owned()]).unwrap();
        assert_eq!(
            serde_json::to_string(&pruned).unwrap(),
            r#"{"metadata":{"apiVersion":"1"},"operations":{"B":{"input":{"shape":"In"}}},"otherOperations":["A","C"],"shapes":{"In":{"type":"structure","members":{"documentation":{"shape":"Text"}}},"Text":{"type":"string"}}}"#
        );
        assert!(prune(&model, &["D".to_owned()]).is_err());
    }
}
