//! Links the program to a fixed address.
//!
//! Each container has a shim, which is this program executed anew. If it could be loaded anywhere, the loader would write
//! 80,000 addresses into each of them first: a millisecond, and 1.3 MiB that no two shims share. Stack, heap and libraries
//! lie at random addresses all the same.

#![allow(clippy::print_stdout, reason = "cargo reads it")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| std::env::var(variable).is_ok_and(|known| known == value);
    // Elsewhere the compiler's own start files decide.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
