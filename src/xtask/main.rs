//! The project's chores: `cargo xtask models | codegen | tidy | support-table | ci`.

mod ci;
mod codegen;
mod model;
mod support_table;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
    /// Checks the layers and the house rules.
    Tidy,
    /// Rewrites the support table of README.md.
    SupportTable {
        /// Fail if the table differs, and write nothing.
        #[arg(long)]
        check: bool,
    },
    /// Runs every check that must hold on each commit.
    Ci,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = root()?;
    match Arguments::parse().chore {
        Chore::Models => model::prune::run(&root),
        Chore::Codegen { check } => codegen::run(&root, check),
        Chore::Tidy => tidy::run(&root),
        Chore::SupportTable { check } => support_table::run(&root, check),
        Chore::Ci => ci::run(&root),
    }
}

/// Prints a line for the person who runs the chore.
#[allow(clippy::print_stdout, reason = "a chore's output is for the terminal")]
fn say(line: &str) {
    println!("{line}");
}

/// Returns the workspace's folder.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Path::to_owned).context("xtask lies in src/xtask")
}
