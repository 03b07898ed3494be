//! Requests and replies as text, in `compat-tests/golden/<service>/<case>.txt`: what a client sees, byte by byte but for
//! white space, with a fixed clock and fixed identifiers.
//!
//! `UPDATE_GOLDEN=1 cargo nextest run -p testkit golden` writes the replies anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
mod coverage;
mod pretty;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// The variable that asks for the files to be written.
const UPDATE: &str = "UPDATE_GOLDEN";

fn main() -> ExitCode {
    let cases = cases();
    let mut trials = vec![Trial::test("golden::every_operation_has_a_case_of_success", {
        let cases = cases.clone();
        // While the files are written their replies are not all there.
        move || if is_update() { Ok(()) } else { coverage::check(&cases).map_err(Failed::from) }
    })];
    for path in cases {
        let name = path.strip_prefix(folder()).unwrap().with_extension("");
        let name = format!("golden::{}", name.to_str().unwrap().replace('/', "::"));
        trials.push(Trial::test(name, move || run(&path).map_err(Failed::from)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn is_update() -> bool {
    std::env::var_os(UPDATE).is_some()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../compat-tests/golden")
}

/// Lists the files of all cases, sorted.
fn cases() -> Vec<PathBuf> {
    let services = std::fs::read_dir(folder()).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let files = services.flat_map(|service| std::fs::read_dir(service.path()).unwrap().flatten());
    let files = files.map(|file| file.path()).filter(|path| path.extension() == Some("txt".as_ref()));
    let mut cases = files.collect::<Vec<_>>();
    cases.sort();
    cases
}

fn run(path: &Path) -> Result<(), String> {
    let expected = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let actual = runtime.block_on(case::play(&expected))?;
    if actual == expected {
        return Ok(());
    }
    if is_update() {
        return std::fs::write(path, actual).map_err(|error| error.to_string());
    }
    Err(format!("{} differs ({UPDATE}=1 writes it):\n{}", path.display(), pretty::difference(&expected, &actual)))
}
