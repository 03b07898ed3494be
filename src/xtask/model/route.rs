//! What a REST operation demands of a request: method, path, parameters of the query, headers.

use super::tree::Tree;

/// Tells whether a model's operations have paths of their own.
pub(crate) fn is_rest(model: &Tree) -> bool {
    let protocol = model.get("metadata").and_then(|metadata| metadata.text_of("protocol"));
    protocol.is_some_and(|protocol| protocol.starts_with("rest-"))
}

/// Returns the route of an operation.
pub(crate) fn of(operation: &Tree, shapes: &Tree) -> Tree {
    let text = |text: &str| Tree::Text(text.to_owned());
    let http = operation.get("http");
    let part = |name: &str| http.and_then(|http| http.text_of(name)).unwrap_or_default();
    let (path, literals) = part("requestUri").split_once('?').unwrap_or_else(|| (part("requestUri"), ""));
    let literals = literals.split('&').filter(|pair| !pair.is_empty()).map(text);
    let query = literals.chain(required(operation, shapes, "querystring")).collect();
    let headers = required(operation, shapes, "header").collect();
    let mut route = vec![("method".to_owned(), text(part("method"))), ("path".to_owned(), text(path))];
    route.push(("query".to_owned(), Tree::List(query)));
    route.push(("headers".to_owned(), Tree::List(headers)));
    if let Some(status) = http.and_then(|http| http.get("responseCode")) {
        route.push(("status".to_owned(), status.clone()));
    }
    Tree::Object(route)
}

/// Returns the names of the required members of an operation's input that are in `location`.
fn required<'a>(operation: &'a Tree, shapes: &'a Tree, location: &'a str) -> impl Iterator<Item = Tree> + use<'a> {
    let input = operation.get("input").and_then(|input| input.text_of("shape")).and_then(|name| shapes.get(name));
    let names = input.and_then(|shape| shape.get("required")).map(Tree::items).unwrap_or_default();
    let members = input.and_then(|shape| shape.get("members"));
    let members = names.iter().filter_map(Tree::text).filter_map(move |name| Some((name, members?.get(name)?)));
    let here = members.filter(move |(_, member)| member.text_of("location") == Some(location));
    here.map(|(name, member)| Tree::Text(member.text_of("locationName").unwrap_or(name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_demands_literals_and_required_members() {
        let shapes: Tree = serde_json::from_str(
            r#"{"In":{"required":["Id","Copy","Bucket"],"members":{
                "Id":{"location":"querystring","locationName":"id"},"Free":{"location":"querystring"},
                "Copy":{"location":"header","locationName":"x-copy"},"Bucket":{"location":"uri"}}}}"#,
        )
        .unwrap();
        let operation: Tree = serde_json::from_str(
            r#"{"http":{"method":"GET","requestUri":"/{Bucket}?list-type=2&x","responseCode":204},"input":{"shape":"In"}}"#,
        )
        .unwrap();
        assert_eq!(
            serde_json::to_string(&of(&operation, &shapes)).unwrap(),
            r#"{"method":"GET","path":"/{Bucket}","query":["list-type=2","x","id"],"headers":["x-copy"],"status":204}"#
        );
    }
}
