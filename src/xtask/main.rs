//! The project's chores: `cargo xtask models | codegen | tidy | support-table | ci`.

mod codegen;
mod model;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "The project's chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Prunes botocore's models into api-models/, as operations.toml lists.
    Models,
    /// Writes src/api from api-models/.
    Codegen {
        /// Fail if the files differ, and write nothing.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    let root = root()?;
    match Arguments::parse().chore {
        Chore::Models => model::prune::run(&root),
        Chore::Codegen { check } => codegen::run(&root, check),
    }
}

/// Returns the workspace's folder.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Path::to_owned).context("xtask lies in src/xtask")
}
