use proptest::prelude::*;

use super::*;

fn text(range: &str, start: &str, end: &str, exclude: &[&str]) -> RangeText {
    RangeText {
        range: range.into(),
        range_start: Some(start.into()),
        range_end: Some(end.into()),
        exclude: exclude.iter().map(|item| (*item).to_owned()).collect(),
    }
}

fn range(range: &str) -> Range {
    Range::new(&text(range, "", "", &[]), "r").unwrap()
}

#[test]
fn ends_are_those_of_the_original() {
    for (of, start, end, first, last) in [
        ("10.0.0.0/24", "", "", 1, 254),
        ("10.0.0.0/30", "", "", 1, 2),
        ("192.168.2.225/28", "", "", 1, 14),
        ("10.0.0.10-10.0.0.20/24", "", "", 10, 20),
        ("10.0.0.0/24", "10.0.0.5", "10.0.0.9", 5, 9),
        // Outside of what is usable, and so ignored.
        ("10.0.0.0/24", "10.0.0.0", "10.0.0.255", 1, 254),
        ("10.0.0.0/24", "10.0.1.5", "fd00::1", 1, 254),
        ("10.0.0.0/24", "10.0.0.9", "10.0.0.5", 9, 254),
        ("fd00::/120", "", "", 1, 254),
        ("fd00::/64", "", "", 1, OFFSET_MAX),
        ("fd00::/48", "", "", 1, OFFSET_MAX),
        ("::/0", "", "", 1, OFFSET_MAX),
        ("fd00::10-fd00::20/64", "", "", 0x10, 0x20),
    ] {
        let range = Range::new(&text(of, start, end, &[]), "r").unwrap();
        assert_eq!((range.first, range.last), (first, last), "{of} {start} {end}");
    }
    assert_eq!(range("192.168.2.225/28").network.to_string(), "192.168.2.224/28");
}

#[test]
fn an_impossible_range_is_refused_with_the_field() {
    for (of, start, end, exclude, named) in [
        ("", "", "", "", "r.range"),
        ("10.0.0.0", "", "", "", "r.range"),
        ("10.0.0.0/31", "", "", "", "too small"),
        ("fd00::/127", "", "", "", "too small"),
        ("x-10.0.0.0/24", "", "", "", "r.range \"x\" is not"),
        ("10.0.1.1-10.0.0.9/24", "", "", "", "outside"),
        ("::ffff:10.0.0.0/120", "", "", "", "written as IPv6"),
        ("10.0.0.0/24", "x", "", "", "r.range_start"),
        ("10.0.0.0/24", "", "x", "", "r.range_end"),
        ("10.0.0.0/24", "", "", "x", "r.exclude"),
    ] {
        let exclude: Vec<&str> = Some(exclude).filter(|item| !item.is_empty()).into_iter().collect();
        let error = Range::new(&text(of, start, end, &exclude), "r").unwrap_err();
        assert!(error.code == Code::InvalidConfig && error.msg.contains(named), "{error}");
    }
}

#[test]
fn excludes_are_merged_and_cut_to_the_network() {
    let excludes = ["10.0.0.4/30", "10.0.0.8", "10.0.0.20/32", "10.9.0.0/16", "fd00::/8"];
    let with = Range::new(&text("10.0.0.0/24", "", "", &excludes), "r").unwrap();
    assert_eq!(with.excluded, [(4, 8), (20, 20)]);
    assert_eq!(with.capacity(), 254 - 6);
    assert!(with.gives(3) && !with.gives(4) && !with.gives(8) && with.gives(9) && !with.gives(20));
    let all = Range::new(&text("10.0.0.0/24", "", "", &["10.0.0.0/8"]), "r").unwrap();
    assert_eq!(all.capacity(), 0);
}

#[test]
fn an_offset_and_its_address_belong_together() {
    let four = range("10.0.0.0/24");
    assert_eq!(four.address(255).unwrap().to_string(), "10.0.0.255");
    assert_eq!(four.address(256), None);
    assert_eq!(four.offset("10.0.0.7".parse().unwrap()), Some(7));
    assert_eq!(four.offset("10.0.1.7".parse().unwrap()), None);
    assert_eq!(four.offset("fd00::7".parse().unwrap()), None);
    let six = range("fd00::/64");
    assert_eq!(six.address(OFFSET_MAX).unwrap().to_string(), "fd00::7fff:ffff:ffff:ffff");
}

proptest! {
    #[test]
    fn no_text_makes_a_range_panic(
        of in "[0-9a-f:./-]{0,24}|(10|fd00:)[.:0]{1,6}/[0-9]{1,3}", start in "[0-9a-f:.]{0,12}", end in "[0-9a-f:.]{0,12}",
        exclude in "[0-9a-f:./]{0,16}",
    ) {
        if let Ok(range) = Range::new(&text(&of, &start, &end, &[&exclude]), "r") {
            prop_assert!(range.first <= range.last && range.last <= OFFSET_MAX);
            prop_assert!(range.capacity() <= range.last - range.first + 1);
            prop_assert_eq!(range.address(range.first).and_then(|address| range.offset(address)), Some(range.first));
        }
    }

    #[test]
    fn what_is_given_is_what_is_counted(
        start in 0_u8..=255, end in 0_u8..=255, excludes in prop::collection::vec((0_u8..=255, 24_u8..=32), 0..6),
    ) {
        let excludes: Vec<String> = excludes.iter().map(|(low, len)| format!("10.0.0.{low}/{len}")).collect();
        let excludes: Vec<&str> = excludes.iter().map(String::as_str).collect();
        let of = text("10.0.0.0/24", &format!("10.0.0.{start}"), &format!("10.0.0.{end}"), &excludes);
        let range = Range::new(&of, "r").unwrap();
        let given = (0..256).filter(|offset| range.gives(*offset)).count();
        prop_assert_eq!(range.capacity(), given as u128);
    }
}
