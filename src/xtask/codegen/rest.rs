//! Writes the paths of a REST service's operations.

use anyhow::{Context, Result};

use crate::model::Model;
use crate::model::route;
use crate::model::tree::Tree;

/// Returns the table of a model's routes, listed operations first; empty for protocols without paths.
pub(crate) fn table(model: &Model) -> Result<String> {
    if !route::is_rest(&model.tree) {
        return Ok(String::new());
    }
    let shapes = model.tree.get("shapes").context("the model has no shapes")?;
    let mut lines = Vec::new();
    for name in &model.listing.operations {
        let operation = model.tree.get("operations").and_then(|operations| operations.get(name));
        let operation = operation.with_context(|| format!("the model has no {name}"))?;
        let mut line = line(name, &route::of(operation, shapes));
        if is_streamed(operation, shapes) {
            line += ".streamed()";
        }
        lines.push(line);
    }
    let others = model.tree.get("otherRoutes").map(Tree::entries).unwrap_or_default();
    lines.extend(others.iter().map(|(name, route)| line(name, route)));
    let lines = lines.into_iter().map(|line| format!("    {line},\n")).collect::<String>();
    Ok(format!("/// The path of every operation.\n#[rustfmt::skip]\nconst REST: &[wire::RestRoute] = &[\n{lines}];\n"))
}

fn line(name: &str, route: &Tree) -> String {
    let text = |part: &str| route.text_of(part).unwrap_or_default();
    let mut line = format!("wire::RestRoute::new({name:?}, {:?}, {:?})", text("method"), text("path"));
    let items = |part: &str| route.get(part).map(Tree::items).unwrap_or_default().iter().filter_map(Tree::text);
    let query = items("query").map(|pair| format!("{:?}", pair.split_once('=').unwrap_or((pair, ""))));
    let query = query.collect::<Vec<_>>().join(", ");
    if !query.is_empty() {
        line += &format!(".query(&[{query}])");
    }
    let headers = items("headers").map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if !headers.is_empty() {
        line += &format!(".headers(&[{headers}])");
    }
    match route.whole("status") {
        Some(status) if status != 200 => line + &format!(".status({status})"),
        _ => line,
    }
}

/// Tells whether an operation's request has a body that is streamed.
fn is_streamed(operation: &Tree, shapes: &Tree) -> bool {
    let input = operation.get("input").and_then(|input| input.text_of("shape")).and_then(|name| shapes.get(name));
    let members = input.and_then(|shape| shape.get("members")).map(Tree::entries).unwrap_or_default();
    members.iter().any(|(_, member)| member.is("streaming"))
}
