//! What was measured, as a table or as JSON.

use serde_json::{Value, json};

/// The figures of one run.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    what: String,
    who: String,
    value: f64,
    unit: &'static str,
}

impl Report {
    /// Adds a figure.
    pub(crate) fn add(&mut self, what: &str, who: &str, value: f64, unit: &'static str) {
        complain(&format!("{what}, {who}: {value:.2} {unit}"));
        self.rows.push(Row { what: what.to_owned(), who: who.to_owned(), value, unit });
    }

    /// Adds a remark, such as what is missing on this machine.
    pub(crate) fn note(&mut self, text: String) {
        complain(&text);
        self.notes.push(text);
    }

    /// Prints everything.
    #[allow(clippy::print_stdout, reason = "it is what the user asked for")]
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            println!("{:#}", self.json());
            return;
        }
        let mut people = Vec::<&str>::new();
        let mut things = Vec::<(&str, &str)>::new();
        for row in &self.rows {
            if !people.contains(&row.who.as_str()) {
                people.push(&row.who);
            }
            if !things.contains(&(row.what.as_str(), row.unit)) {
                things.push((&row.what, row.unit));
            }
        }
        let width = things.iter().map(|(what, unit)| what.len() + unit.len() + 2).max().unwrap_or_default();
        println!("{:width$}  {}", "", people.iter().map(|who| format!("{who:>14}")).collect::<String>());
        for (what, unit) in things {
            let value = |who: &&str| {
                let row = self.rows.iter().find(|row| row.what == what && row.unit == unit && row.who == **who);
                row.map_or_else(|| format!("{:>14}", "-"), |row| format!("{:>14}", number(row.value)))
            };
            let label = format!("{what}, {unit}");
            println!("{label:width$}  {}", people.iter().map(value).collect::<String>());
        }
        for note in &self.notes {
            println!("note: {note}");
        }
    }

    fn json(&self) -> Value {
        let row = |row: &Row| json!({ "what": row.what, "who": row.who, "value": row.value, "unit": row.unit });
        json!({ "figures": self.rows.iter().map(row).collect::<Vec<_>>(), "notes": self.notes })
    }
}

fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Says how far it is, so that whoever waits sees it; the table comes at the end.
#[allow(clippy::print_stderr, reason = "progress")]
pub(crate) fn complain(line: &str) {
    eprintln!("{line}");
}
