//! Bodies in many lines, for people to read.

use serde_json::Value;

/// Lays a JSON or XML body out, a line a value; the last line ends. No line is empty.
pub(crate) fn body(body: &str) -> String {
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        return serde_json::to_string_pretty(&value).unwrap() + "\n";
    }
    if body.starts_with('<') { xml(body) } else { lines(body) }
}

fn lines(body: &str) -> String {
    body.lines().map(|line| format!("{line}\n")).collect()
}

/// Puts each element on a line of its own, those with children over several.
fn xml(body: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0_usize);
    for line in body.replace('\n', "").replace("><", ">\n<").lines() {
        let closes = line.starts_with("</");
        let opens = !closes && !line.starts_with("<?") && !line.ends_with("/>") && !line.contains("</");
        depth = if closes { depth.saturating_sub(1) } else { depth };
        text.push_str(&format!("{}{line}\n", "  ".repeat(depth)));
        depth += usize::from(opens);
    }
    text
}

/// Shows where two texts part: the first lines that differ, with what stands before.
pub(crate) fn difference(expected: &str, actual: &str) -> String {
    const BEFORE: usize = 3;
    const AFTER: usize = 12;
    let (old, new) = (expected.lines().collect::<Vec<_>>(), actual.lines().collect::<Vec<_>>());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let part = |lines: &[&str], sign: char| {
        lines.iter().skip(same).take(AFTER).map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    let before = old[same.saturating_sub(BEFORE)..same].iter().map(|line| format!("  {line}\n")).collect::<String>();
    format!("line {}:\n{before}{}{}", same + 1, part(&old, '-'), part(&new, '+'))
}
