//! How the tasks of a service lie over availability zones.

use std::collections::BTreeMap;

use super::Member;

/// Counts the live tasks in each of `zones`; tasks elsewhere are left out.
pub(super) fn counts<'m>(zones: &[String], members: impl IntoIterator<Item = &'m Member>) -> Vec<(String, usize)> {
    let mut counts = zones.iter().map(|zone| (zone.as_str(), 0)).collect::<BTreeMap<_, _>>();
    for member in members {
        if let Some(count) = member.zone.as_deref().and_then(|zone| counts.get_mut(zone)) {
            *count += 1;
        }
    }
    counts.into_iter().map(|(zone, count)| (zone.to_owned(), count)).collect()
}

/// Whether moving one task makes the zones more even.
pub(super) fn is_uneven(counts: &[(String, usize)]) -> bool {
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let least = counts.iter().map(|(_, count)| *count).min().unwrap_or(0);
    most > least + 1
}

/// Returns the places of those of `zones`, which may be unknown, in which one more task is to run: the ones with the
/// fewest. `taken` are the zones of the tasks that are there already.
pub(in crate::ecs) fn poorest(zones: &[Option<String>], taken: &[Option<String>]) -> Vec<usize> {
    let count = |zone: &Option<String>| taken.iter().filter(|known| *known == zone).count();
    let least = zones.iter().map(count).min().unwrap_or(0);
    (0..zones.len()).filter(|&place| count(&zones[place]) == least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_task_goes_where_the_fewest_are() {
        let zones = |letters: &str| {
            let zone = |letter: char| (letter != '?').then(|| letter.to_string());
            letters.chars().map(zone).collect::<Vec<_>>()
        };
        let rows = [
            ("", "", vec![]),
            ("a", "aaa", vec![0]),
            ("ab", "", vec![0, 1]),
            ("ab", "a", vec![1]),
            ("aab", "b", vec![0, 1]),
            ("aab", "ab", vec![0, 1, 2]),
            ("abc", "aabbc", vec![2]),
            ("ab", "abc", vec![0, 1]),
            ("?a", "a", vec![0]),
            ("?", "??", vec![0]),
        ];
        for (offered, taken, expected) in rows {
            assert_eq!(poorest(&zones(offered), &zones(taken)), expected, "{offered} {taken}");
        }
    }
}
