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
    let mut sorted = Vec::new();
    for (key, mut bars) in groups {
        bars.sort_by_key(|(whose, _)| leading_number(whose));
        sorted.push(Group { title: title(key), bars });
    }
    sorted
}

/// Frame sizes and the like are in the order of their numbers; names come after them, as they were.
fn leading_number(name: &str) -> u64 {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    name[..digits].parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_sizes_are_in_the_order_of_their_numbers() {
        let arms = ["t.64.f", "t.1518.f", "t.512.f"];
        let arms = arms.map(|name| (name.to_owned(), Figures::of_rounds(&[1.0], "pps").unwrap()));
        let arms = BTreeMap::from(arms);
        let names: Vec<_> = groups(&arms)[0].bars.iter().map(|(whose, _)| *whose).collect();
        assert_eq!(names, ["64", "512", "1518"]);
    }

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
