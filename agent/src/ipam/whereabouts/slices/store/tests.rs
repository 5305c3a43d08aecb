//! What a crash leaves of the file.

use std::time::Instant;

use proptest::prelude::*;

use super::super::lease::tests::lease;
use super::super::spec::tests::spec;
use super::*;

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn snapshot(leases: &BTreeMap<IpAddr, Lease>) -> Snapshot {
    let mut book = Book::open(Vec::new(), leases.clone(), Instant::now());
    book.own(Kept { range: "10.0.0.0/28".parse().unwrap(), foreign: Vec::new() }, true, Instant::now());
    Snapshot::of(&spec("10.0.0.0/24", "/28"), &book)
}

fn reopened(path: &Path) -> BTreeMap<IpAddr, Lease> {
    Store::open(path).unwrap().map(|(_, snapshot)| snapshot.leases).unwrap_or_default()
}

#[test]
fn a_file_that_says_nothing_whole_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.slices");
    for text in ["", "{", "{\"version\":1"] {
        fs::write(&path, text).unwrap();
        assert!(Store::open(&path).unwrap().is_none(), "{text}");
    }
    for text in ["{}\n", "null\n", "{\"version\":1}\n"] {
        fs::write(&path, text).unwrap();
        assert_eq!(Store::open(&path).unwrap_err().code, Code::State, "{text}");
    }
}

#[test]
fn a_file_does_not_grow_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(dir.path(), "net");
    let path = store.path.clone();
    for at in 0..5_000 {
        let change = Change { address: ip(1), lease: Some(lease(at)) };
        store.append(&change, || snapshot(&BTreeMap::from([(ip(2), lease(2))]))).unwrap();
    }
    assert!(fs::metadata(&path).unwrap().len() < 2 * LINES_BYTES_MAX);
    assert_eq!(reopened(&path)[&ip(2)], lease(2));
    assert_eq!(reopened(&path)[&ip(1)], lease(4_999));
}

#[test]
fn after_a_write_that_failed_the_next_one_writes_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(dir.path(), "net");
    let (path, draft) = (store.path.clone(), store.path.with_extension("draft"));
    fs::create_dir(&draft).unwrap();
    let leases = BTreeMap::from([(ip(1), lease(1))]);
    let change = Change { address: ip(2), lease: Some(lease(2)) };
    assert_eq!(store.append(&change, || snapshot(&leases)).unwrap_err().code, Code::State);
    fs::remove_dir(&draft).unwrap();
    store.append(&change, || snapshot(&leases)).unwrap();
    assert_eq!(reopened(&path).len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The process or the machine ends while a line is written: what was whole before counts, and work goes on from there.
    #[test]
    fn a_crash_at_any_byte_leaves_the_lease_before_or_after(
        steps in proptest::collection::vec((0..12_u8, any::<bool>()), 1..12),
        cut in 0..1_000_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path(), "net");
        let path = store.path.clone();
        let mut leases = BTreeMap::new();
        for (at, (last, is_add)) in steps.into_iter().enumerate() {
            let before = leases.clone();
            let change = Change { address: ip(last), lease: is_add.then(|| lease(at)) };
            let start = fs::metadata(&path).map_or(0, |meta| meta.len());
            store.append(&change, || snapshot(&before)).unwrap();
            match change.lease {
                Some(lease) => leases.insert(change.address, lease),
                None => leases.remove(&change.address),
            };
            prop_assert_eq!(&reopened(&path), &leases);
            // The crash.
            let text = fs::read(&path).unwrap();
            let start = usize::try_from(start).unwrap();
            let kept = start + (text.len() - start) * cut / 1_000;
            if start > 0 {
                fs::write(&path, &text[..kept]).unwrap();
                let (again, found) = Store::open(&path).unwrap().unwrap();
                prop_assert!(found.leases == before || found.leases == leases);
                (store, leases) = (again, found.leases);
            }
        }
    }

    /// The file is replaced by way of a draft: wherever that ends, one of the two is whole.
    #[test]
    fn a_crash_while_the_file_is_replaced_leaves_the_old_or_the_new(cut in 0..400_usize, renamed: bool) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path(), "net");
        let (old, new) = (snapshot(&BTreeMap::from([(ip(1), lease(1))])), snapshot(&BTreeMap::new()));
        store.replace(&old).unwrap();
        let line = serde_json::to_vec(&new).unwrap();
        let draft = store.path.with_extension("draft");
        fs::write(&draft, &line[..cut.min(line.len())]).unwrap();
        if renamed {
            store.replace(&new).unwrap();
        }
        let (_, found) = Store::open(&store.path).unwrap().unwrap();
        prop_assert_eq!(found, if renamed { new } else { old });
    }
}
