use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn range(value: Value) -> Result<Range, CniError> {
    Range::new(&serde_json::from_value(value).unwrap(), "r")
}

fn set(ranges: &[Value]) -> RangeSet {
    RangeSet::new(ranges.iter().map(|value| range(value.clone()).unwrap()).collect(), "s").unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn what_is_not_configured_is_filled_in_as_the_reference_does() {
    for (config, start, end, gateway, capacity) in [
        (json!({"subnet": "10.0.0.0/24"}), "10.0.0.1", "10.0.0.254", "10.0.0.1", 253),
        (json!({"subnet": "10.0.0.0/30"}), "10.0.0.1", "10.0.0.2", "10.0.0.1", 1),
        (json!({"subnet": "fd00::/120"}), "fd00::1", "fd00::ff", "fd00::1", 254),
        (
            json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.0", "rangeEnd": "10.0.0.255", "gateway": ""}),
            "10.0.0.0",
            "10.0.0.255",
            "10.0.0.1",
            255,
        ),
        (
            json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "gateway": "10.9.9.9"}),
            "10.0.0.9",
            "10.0.0.254",
            "10.9.9.9",
            246,
        ),
    ] {
        let range = range(config).unwrap();
        assert_eq!((range.start, range.end, range.gateway), (ip(start), ip(end), ip(gateway)));
        assert_eq!(range.capacity(), capacity);
    }
}

#[test]
fn an_impossible_range_is_refused_with_the_field() {
    for (config, named) in [
        (json!({}), "r.subnet is missing"),
        (json!({"subnet": ""}), "r.subnet"),
        (json!({"subnet": "10.0.0.0"}), "r.subnet"),
        (json!({"subnet": "10.0.0.0/33"}), "r.subnet"),
        (json!({"subnet": "10.0.0.5/24"}), "host bits"),
        (json!({"subnet": "10.0.0.0/31"}), "too small"),
        (json!({"subnet": "fd00::/127"}), "too small"),
        (json!({"subnet": "::ffff:10.0.0.0/120"}), "mapped"),
        (json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}), "rangeStart 10.0.1.1 lies outside"),
        (json!({"subnet": "10.0.0.0/24", "rangeEnd": "fd00::1"}), "rangeEnd fd00::1 lies outside"),
        (json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"}), "comes after"),
        (json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.255"}), "comes after"),
        (json!({"subnet": "10.0.0.0/24", "gateway": "x"}), "r.gateway"),
    ] {
        let error = range(config).unwrap_err();
        assert!(error.code == Code::InvalidConfig && error.msg.contains(named), "{error}");
    }
}

#[test]
fn ranges_that_share_an_address_are_refused() {
    let low = json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.10", "rangeEnd": "10.0.0.20"});
    let high = json!({"subnet": "10.0.0.0/16", "rangeStart": "10.0.0.20", "rangeEnd": "10.0.0.30"});
    let apart = json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.21", "rangeEnd": "10.0.0.30"});
    let six = json!({"subnet": "::/96"});
    let clash = [&low, &six, &high].map(|one| set(std::slice::from_ref(one)));
    assert!(refuse_overlap(&clash).unwrap_err().msg.contains("10.0.0.20"));
    assert!(refuse_overlap(&[set(&[low.clone(), high])]).is_err());
    assert!(refuse_overlap(&[set(&[low, apart]), set(&[six])]).is_ok());
}

#[test]
fn a_set_holds_one_family() {
    let ranges = ["10.0.0.0/24", "fd00::/64"].map(|subnet| range(json!({"subnet": subnet})).unwrap());
    assert!(RangeSet::new(ranges.to_vec(), "s").unwrap_err().msg.contains("mixes"));
    assert!(RangeSet::new(Vec::new(), "s").unwrap_err().msg.contains("s is empty"));
}

#[test]
fn the_walk_goes_round_from_the_last_address_and_skips_the_gateway() {
    let set =
        set(&[json!({"subnet": "10.0.0.0/29"}), json!({"subnet": "10.0.1.0/29", "rangeEnd": "10.0.1.3"})]);
    let mut taken = HashSet::new();
    let mut last = Some(ip("10.0.0.4"));
    let mut walk = Vec::new();
    while let Some((_, address)) = set.next_free(last, &taken) {
        assert!(taken.insert(address));
        last = Some(address);
        walk.push(address);
    }
    let expected = ["10.0.0.5", "10.0.0.6", "10.0.1.2", "10.0.1.3", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
    assert_eq!(walk, expected.map(ip));
    assert_eq!(set.next_free(Some(ip("192.168.0.1")), &HashSet::new()).unwrap().1, ip("10.0.0.2"));
}

#[test]
fn the_only_address_is_given_again_after_it_was_given_last() {
    let set = set(&[json!({"subnet": "10.0.0.0/30"})]);
    assert_eq!(set.next_free(Some(ip("10.0.0.2")), &HashSet::new()).unwrap().1, ip("10.0.0.2"));
}

#[test]
fn the_whole_ipv6_space_is_walked_no_further_than_needed() {
    let set = set(&[json!({"subnet": "::/0"})]);
    let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(set.next_free(Some(ip(all)), &HashSet::new()).unwrap().1, ip("::2"));
    assert_eq!(set.next_free(Some(ip("fd00::1")), &HashSet::from([ip("fd00::2")])).unwrap().1, ip("fd00::3"));
    assert_eq!(set.capacity(), u128::MAX - 1);
}

proptest! {
    #[test]
    fn the_next_address_is_free_inside_and_no_gateway(
        starts in prop::collection::vec((0_u8..16, 0_u8..255, 0_u8..255), 1..4),
        last in any::<u32>(),
        taken in prop::collection::hash_set(any::<u16>(), 0..300),
    ) {
        let ranges: Vec<Range> = starts.iter().enumerate().filter_map(|(at, (_, low, high))| {
            let prefix = format!("10.0.{at}");
            range(json!({
                "subnet": format!("{prefix}.0/24"),
                "rangeStart": format!("{prefix}.{}", low.min(high)),
                "rangeEnd": format!("{prefix}.{}", low.max(high)),
            })).ok()
        }).collect();
        let set = RangeSet::new(ranges, "s").unwrap();
        let taken: HashSet<IpAddr> =
            taken.into_iter().map(|low| IpAddr::from(Ipv4Addr::from(0x0a00_0000 | u32::from(low) & 0x3ff))).collect();
        let free: Vec<IpAddr> = (0x0a00_0000_u32..0x0a00_0400)
            .map(|number| IpAddr::from(Ipv4Addr::from(number)))
            .filter(|address| set.range_for(*address).is_some_and(|range| range.gateway != *address))
            .filter(|address| !taken.contains(address))
            .collect();
        match set.next_free(Some(Ipv4Addr::from(last).into()), &taken) {
            Some((range, address)) => prop_assert!(free.contains(&address) && range.contains(address)),
            None => prop_assert!(free.is_empty()),
        }
    }

    #[test]
    fn no_text_in_a_range_makes_it_panic(
        subnet in "[0-9a-f:./]{0,20}|(10|fd00:)[.:0]{1,6}/[0-9]{1,3}", start in "[0-9a-f:.]{0,12}", end in "[0-9a-f:.]{0,12}",
    ) {
        if let Ok(range) = range(json!({"subnet": subnet, "rangeStart": start, "rangeEnd": end})) {
            let set = RangeSet::new(vec![range], "s").unwrap();
            prop_assert!(set.next_free(None, &HashSet::new()).is_some() || set.capacity() == 0);
        }
    }
}
