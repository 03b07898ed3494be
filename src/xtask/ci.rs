//! `cargo xtask ci`: everything that must hold on each commit, cheapest first.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{codegen, support_table, tidy};

/// Runs the checks and stops at the first that fails.
pub(crate) fn run(root: &Path) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"])?;
    step("codegen --check", || codegen::run(root, true))?;
    step("tidy", || tidy::run(root))?;
    step("support-table --check", || support_table::run(root, true))?;
    cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo(root, &["nextest", "run", "--workspace"])
}

fn step(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    crate::say(&format!("== {name}"));
    check().with_context(|| format!("{name} fails"))
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let name = format!("cargo {}", arguments.join(" "));
    step(&name, || {
        let status = Command::new(env!("CARGO")).args(arguments).current_dir(root).status();
        ensure!(status.context("cannot run cargo")?.success(), "it says above what is wrong");
        Ok(())
    })
}
