//! `cargo xtask codegen`: writes `src/api` from `api-models/`.

mod emit;
mod names;
mod rest;
mod shapes;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::model::{Model, load_all};

/// Writes the generated files, or with `is_check` fails if they are not what would be written.
pub(crate) fn run(root: &Path, is_check: bool) -> Result<()> {
    let folder = root.join("src/api");
    let files = generate(root)?;
    let stale = surplus(&folder, &files)?;
    if !is_check {
        for path in stale {
            fs::remove_file(path)?;
        }
        return files.iter().try_for_each(|(name, text)| {
            let path = folder.join(name);
            let is_same = fs::read_to_string(&path).is_ok_and(|known| known == *text);
            // An unchanged file keeps its time, so that cargo does not build it again.
            if is_same { Ok(()) } else { fs::write(&path, text).with_context(|| format!("cannot write {name}")) }
        });
    }
    for (name, text) in &files {
        if fs::read_to_string(folder.join(name)).unwrap_or_default() != *text {
            bail!("src/api/{name} is not what the models say: run `cargo xtask codegen`");
        }
    }
    ensure!(stale.is_empty(), "src/api has files of no model: {stale:?}; run `cargo xtask codegen`");
    Ok(())
}

fn generate(root: &Path) -> Result<BTreeMap<String, String>> {
    let models = load_all(root)?;
    let mut files = BTreeMap::from([("lib.rs".to_owned(), library(&models))]);
    for model in &models {
        let text = emit::service(model).with_context(|| format!("cannot generate {}", model.id))?;
        files.insert(format!("{}.rs", module(&model.id)), formatted(root, &text)?);
    }
    Ok(files)
}

/// Finds generated files of services that are gone.
fn surplus(folder: &Path, files: &BTreeMap<String, String>) -> Result<Vec<PathBuf>> {
    let mut surplus = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".rs") && !files.contains_key(name) {
            surplus.push(path);
        }
    }
    Ok(surplus)
}

fn module(id: &str) -> String {
    id.replace('-', "_")
}

fn library(models: &[Model]) -> String {
    let modules = models.iter().map(|model| format!("pub mod {};\n", module(&model.id))).collect::<String>();
    format!(
        "//! GENERATED types of the AWS APIs: requests, responses, errors and operation markers, one module a service.\n\
         //!\n\
         //! Never edited: change `api-models/<service>/operations.toml` or `patches.json` and run `cargo xtask codegen`.\n\
         //! Shapes know no protocol; every member is optional, because only the service knows what its absence means.\n\
         \n{modules}"
    )
}

fn formatted(root: &Path, text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run rustfmt")?;
    let mut stdin = child.stdin.take().context("rustfmt has no input")?;
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refuses the generated text");
    writer.join().ok().context("the text was not written")??;
    String::from_utf8(output.stdout).context("rustfmt's output is not UTF-8")
}
