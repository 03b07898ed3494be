//! What the generator knows about a model's shapes: Rust types, reachability, cycles.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::names;
use crate::model::Model;
use crate::model::tree::Tree;

/// The shapes of a model.
pub(crate) struct Shapes<'a> {
    tree: &'a Tree,
    /// Shapes that a request reaches: only these need constraints.
    pub(crate) of_requests: BTreeSet<&'a str>,
    /// Shapes that a request or response reaches, without exceptions.
    pub(crate) reached: BTreeSet<&'a str>,
}

impl<'a> Shapes<'a> {
    /// Sorts out the shapes of a model's operations.
    pub(crate) fn new(model: &'a Model) -> Result<Self> {
        let tree = model.tree.get("shapes").context("the model has no shapes")?;
        let mut shapes = Self { tree, of_requests: BTreeSet::new(), reached: BTreeSet::new() };
        for (_, operation) in model.tree.get("operations").map(Tree::entries).unwrap_or_default() {
            if let Some(input) = operation.get("input").and_then(|input| input.text_of("shape")) {
                reach(tree, input, &mut shapes.of_requests);
            }
            if let Some(output) = operation.get("output").and_then(|output| output.text_of("shape")) {
                reach(tree, output, &mut shapes.reached);
            }
        }
        shapes.reached.extend(shapes.of_requests.iter().copied());
        Ok(shapes)
    }

    /// Adds what a shape reaches to the shapes that are generated.
    pub(crate) fn add(&mut self, name: &'a str) {
        reach(self.tree, name, &mut self.reached);
    }

    /// Returns a shape.
    pub(crate) fn get(&self, name: &str) -> Result<&'a Tree> {
        self.tree.get(name).with_context(|| format!("the model has no shape {name}"))
    }

    /// Returns the generated shapes in the model's order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&'a str, &'a Tree)> {
        let all = self.tree.entries().iter().map(|(name, shape)| (name.as_str(), shape));
        all.filter(|(name, _)| self.reached.contains(name))
    }

    /// Returns the Rust type of a shape.
    pub(crate) fn rust_type(&self, name: &str) -> Result<String> {
        let shape = self.get(name)?;
        let part = |part: &str| -> Result<String> {
            let target = shape.get(part).and_then(|part| part.text_of("shape"));
            self.rust_type(target.with_context(|| format!("{name} has no {part}"))?)
        };
        Ok(match shape.text_of("type").unwrap_or_default() {
            "structure" if shape.is("document") => "Document".to_owned(),
            "structure" => names::type_name(name),
            "string" if shape.get("enum").is_some() => names::type_name(name),
            "string" | "character" => "String".to_owned(),
            "integer" | "short" | "byte" => "i32".to_owned(),
            "long" => "i64".to_owned(),
            "float" => "f32".to_owned(),
            "double" => "f64".to_owned(),
            "boolean" => "bool".to_owned(),
            "timestamp" => "DateTime".to_owned(),
            "blob" => "Blob".to_owned(),
            "list" => format!("Vec<{}>", part("member")?),
            "map" => format!("BTreeMap<String, {}>", part("value")?),
            other => bail!("{name} is of the type `{other}`"),
        })
    }

    /// Tells whether a structure contains itself through members that are structures: such members are boxed.
    pub(crate) fn is_boxed(&self, owner: &str, target: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![target];
        while let Some(name) = open.pop() {
            if name == owner {
                return true;
            }
            let Some(shape) = self.tree.get(name).filter(|shape| shape.text_of("type") == Some("structure")) else {
                continue;
            };
            if seen.insert(name) {
                let members = shape.get("members").map(Tree::entries).unwrap_or_default();
                open.extend(members.iter().filter_map(|(_, member)| member.text_of("shape")));
            }
        }
        false
    }
}

fn reach<'a>(shapes: &'a Tree, name: &'a str, reached: &mut BTreeSet<&'a str>) {
    let Some(shape) = shapes.get(name).filter(|_| reached.insert(name)) else { return };
    let members = shape.get("members").map(Tree::entries).unwrap_or_default().iter().map(|(_, member)| member);
    let parts = ["member", "key", "value"].into_iter().filter_map(|part| shape.get(part));
    members.chain(parts).filter_map(|part| part.text_of("shape")).for_each(|name| reach(shapes, name, reached));
}
