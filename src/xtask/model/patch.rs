//! Applies `patches.json`, an RFC 6902 document, to a model: what AWS's model says wrongly or leaves out.

use anyhow::{Context, Result, bail};

use super::tree::Tree;

/// Applies the operations in order: `add`, `replace`, `remove` and `test`.
pub(crate) fn apply(model: &mut Tree, patches: &Tree) -> Result<()> {
    for patch in patches.items() {
        let path = patch.text_of("path").context("a patch has no path")?;
        let operation = patch.text_of("op").context("a patch has no op")?;
        let value = || patch.get("value").cloned().context("a patch has no value");
        let done = match operation {
            "add" => add(model, path, value()?),
            "replace" => at(model, path).map(|place| value().map(|value| *place = value)).transpose()?,
            "remove" => remove(model, path),
            "test" => at(model, path).filter(|place| value().is_ok_and(|value| **place == value)).map(drop),
            _ => bail!("a patch has the operation `{operation}`, which is not supported"),
        };
        done.with_context(|| format!("cannot {operation} {path}: the model has changed"))?;
    }
    Ok(())
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

fn at<'a>(tree: &'a mut Tree, path: &str) -> Option<&'a mut Tree> {
    path.split('/').skip(1).try_fold(tree, |tree, part| match tree {
        Tree::Object(entries) => {
            let name = unescaped(part);
            entries.iter_mut().find(|(known, _)| *known == name).map(|(_, value)| value)
        }
        Tree::List(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

fn add(tree: &mut Tree, path: &str, value: Tree) -> Option<()> {
    let (parent, last) = path.rsplit_once('/')?;
    match at(tree, parent)? {
        Tree::Object(entries) => {
            let name = unescaped(last);
            entries.retain(|(known, _)| *known != name);
            entries.push((name, value));
        }
        Tree::List(items) if last == "-" => items.push(value),
        Tree::List(items) => {
            let index = last.parse::<usize>().ok().filter(|index| *index <= items.len())?;
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(tree: &mut Tree, path: &str) -> Option<()> {
    let (parent, last) = path.rsplit_once('/')?;
    match at(tree, parent)? {
        Tree::Object(entries) => {
            let name = unescaped(last);
            let index = entries.iter().position(|(known, _)| *known == name)?;
            entries.remove(index);
        }
        Tree::List(items) => {
            let index = last.parse::<usize>().ok().filter(|index| *index < items.len())?;
            items.remove(index);
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patches: &str, expected: Result<&str, &str>) {
        let mut model: Tree = serde_json::from_str(r#"{"b":{"x":1},"a":["p","q"]}"#).unwrap();
        let patches: Tree = serde_json::from_str(patches).unwrap();
        let found = apply(&mut model, &patches).map(|()| serde_json::to_string(&model).unwrap());
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn patches_apply_in_order_and_keep_the_rest() {
        check("[]", Ok(r#"{"b":{"x":1},"a":["p","q"]}"#));
        check(
            r#"[{"op":"add","path":"/b/y~1z","value":2},{"op":"remove","path":"/a/0"},{"op":"add","path":"/a/-","value":"r"}]"#,
            Ok(r#"{"b":{"x":1,"y/z":2},"a":["q","r"]}"#),
        );
        check(
            r#"[{"op":"test","path":"/b/x","value":1},{"op":"replace","path":"/b","value":null}]"#,
            Ok(r#"{"b":null,"a":["p","q"]}"#),
        );
    }

    #[test]
    fn a_patch_that_no_longer_fits_fails() {
        check(r#"[{"op":"remove","path":"/c"}]"#, Err("cannot remove /c: the model has changed"));
        check(r#"[{"op":"test","path":"/b/x","value":2}]"#, Err("cannot test /b/x: the model has changed"));
        check(r#"[{"op":"replace","path":"/a/9","value":2}]"#, Err("cannot replace /a/9: the model has changed"));
        check(r#"[{"op":"move","path":"/a"}]"#, Err("a patch has the operation `move`, which is not supported"));
    }
}
