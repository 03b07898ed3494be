//! `cargo xtask support-table`: the part of the README that says which operations exist, made from the models.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::model::{Model, load_all};

const BEGIN: &str = "<!-- support-table -->";
const END: &str = "<!-- /support-table -->";

/// Rewrites the table, or with `is_check` fails if it is not what would be written.
pub(crate) fn run(root: &Path, is_check: bool) -> Result<()> {
    let path = root.join("README.md");
    let readme = fs::read_to_string(&path).context("cannot read README.md")?;
    let wanted = replaced(&readme, &table(&load_all(root)?))?;
    if is_check {
        ensure!(readme == wanted, "the support table in README.md is stale: run `cargo xtask support-table`");
    } else if readme != wanted {
        fs::write(&path, wanted).context("cannot write README.md")?;
    }
    Ok(())
}

fn replaced(readme: &str, table: &str) -> Result<String> {
    let (before, rest) = readme.split_once(BEGIN).with_context(|| format!("README.md has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("README.md has no {END}"))?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn table(models: &[Model]) -> String {
    let mut models = models.iter().collect::<Vec<_>>();
    // The main service first, then the rest by name.
    models.sort_by_key(|model| (!model.listing.lists_every_operation, model.id.as_str()));
    models.into_iter().map(service).collect()
}

fn service(model: &Model) -> String {
    let all = model.all_operations();
    let is_listed = |name: &&str| model.listing.operations.iter().any(|listed| listed == name);
    let count = all.iter().filter(|name| is_listed(name)).count();
    let title = model.metadata("serviceAbbreviation");
    let title = if title.is_empty() { model.metadata("serviceFullName") } else { title };
    let mut text = format!("\n### {title}: {count} of {} operations\n\n", all.len());
    text += "| Operation | Neargate | |\n| --- | --- | --- |\n";
    for name in all.iter().filter(|name| model.listing.lists_every_operation || is_listed(name)) {
        let mark = if is_listed(name) { "yes" } else { "not yet" };
        let note = model.listing.notes.get(*name).map_or("", String::as_str);
        writeln!(text, "| {name} | {mark} | {note} |").expect("a string takes it");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Listing;

    fn model(lists_every_operation: bool) -> Model {
        let operations = vec!["RunTask".to_owned()];
        let notes = [("RunTask".to_owned(), "FARGATE only".to_owned())].into();
        let text = r#"{"metadata":{"serviceFullName":"Amazon Toy"},"operations":{"RunTask":{}},"otherOperations":["Act","Stop"]}"#;
        Model {
            id: "toy".to_owned(),
            listing: Listing { operations, notes, lists_every_operation },
            tree: serde_json::from_str(text).unwrap(),
        }
    }

    #[test]
    fn the_table_says_what_is_implemented() {
        let head = "\n### Amazon Toy: 1 of 3 operations\n\n| Operation | Neargate | |\n| --- | --- | --- |\n";
        let row = "| RunTask | yes | FARGATE only |\n";
        assert_eq!(table(&[model(false)]), format!("{head}{row}\n"));
        assert_eq!(table(&[model(true)]), format!("{head}| Act | not yet |  |\n{row}| Stop | not yet |  |\n\n"));
    }

    #[test]
    fn only_the_part_between_the_marks_is_rewritten() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replaced(&readme, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(replaced(&new, "new\n").unwrap(), new);
        assert!(replaced("a", "new").is_err());
    }
}
