//! Arms that belong on one chart: the same quantity in the same case and unit.

use std::collections::BTreeMap;

use crate::report::Figures;

/// What one chart shows.
pub(super) struct Group<'a> {
    /// Quantity, case and unit.
    pub(super) title: String,
    /// Whose figures.
    pub(super) bars: Vec<(&'a str, &'a Figures)>,
}

/// Quantity, case and unit.
type Key<'a> = (&'a str, &'a str, &'a str);

/// Groups arms, whose names are `QUANTITY.WHOSE` or `QUANTITY.WHOSE.CASE`.
pub(super) fn groups(arms: &BTreeMap<String, Figures>) -> Vec<Group<'_>> {
    let mut groups = BTreeMap::<Key<'_>, Vec<_>>::new();
    for (name, figures) in arms {
        let (quantity, rest) = name.split_once('.').unwrap_or((name, name));
        let (whose, case) = rest.split_once('.').unwrap_or((rest, ""));
        groups.entry((quantity, case, &*figures.unit)).or_default().push((whose, figures));
    }
    let title = |(quantity, case, unit): Key<'_>| {
        if case.is_empty() { format!("{quantity}, {unit}") } else { format!("{quantity} {case}, {unit}") }
    };
    groups.into_iter().map(|(key, bars)| Group { title: title(key), bars }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_of_one_quantity_case_and_unit_share_a_chart() {
        let arms =
            [("a.x", "ns"), ("a.y", "ns"), ("a.z", "pps"), ("b.x.1M", "ns"), ("b.x.2M", "ns"), ("c", "ns")];
        let arms = arms.map(|(name, unit)| (name.to_owned(), Figures::of_rounds(&[1.0], unit).unwrap()));
        let arms = BTreeMap::from(arms);
        let seen: Vec<_> =
            groups(&arms).iter().map(|group| (group.title.clone(), group.bars.len())).collect();
        let wanted = [("a, ns", 2), ("a, pps", 1), ("b 1M, ns", 1), ("b 2M, ns", 1), ("c, ns", 1)];
        assert_eq!(seen, wanted.map(|(title, bars)| (title.to_owned(), bars)));
    }
}
