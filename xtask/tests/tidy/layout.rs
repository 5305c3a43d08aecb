//! Which crate and folder may use what.

use std::fs;

use crate::checkout::{has_word, root, rust_files};

/// In the agent, one folder per foreign world: a crate or a system call, and the only folders that name it.
const DOORS: [(&str, &[&str]); 4] = [
    ("aya", &["agent/src/datapath"]),
    ("netlink_packet_route", &["agent/src/netlink"]),
    // The lab makes throw-away hosts for tests; it is in no release.
    ("setns", &["agent/src/sandbox", "agent/src/lab"]),
    ("kube", &["agent/src/cluster", "agent/src/lab"]),
];

/// Our crates that a crate may depend on.
const ARROWS: [(&str, &[&str]); 8] = [
    ("ebpf/abi", &[]),
    ("ebpf", &["plexus-abi"]),
    ("cni", &[]),
    ("agent", &["plexus-abi", "plexus-cni"]),
    ("bench", &["plexus-agent", "plexus-cni"]),
    ("deploy/check", &[]),
    ("fuzz", &["plexus-abi", "plexus-cni", "plexus-ebpf"]),
    ("xtask", &[]),
];

fn manifest(member: &str) -> String {
    let path = root().join(member).join("Cargo.toml");
    fs::read_to_string(path).expect("the workspace and each member have a Cargo.toml")
}

/// The members that the workspace's Cargo.toml lists.
fn members() -> Vec<String> {
    let text = manifest("");
    let line =
        text.lines().find(|line| line.starts_with("members = ")).expect("the workspace lists its members");
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_member_takes_the_workspaces_lints() {
    for member in members() {
        assert!(
            manifest(&member).contains("[lints]\nworkspace = true\n"),
            "{member}/Cargo.toml has lints of its own"
        );
    }
}

#[test]
fn dependencies_point_one_way() {
    for member in members() {
        let (_, allowed) = ARROWS.iter().find(|(name, _)| *name == member).unwrap_or_else(|| {
            panic!("the member {member} has no place in the order of crates: add it to ARROWS")
        });
        // What its tests use beside that is no arrow.
        let text = manifest(&member);
        let dependencies = text.split_once("\n[dependencies]\n").map_or("", |(_, rest)| rest);
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines().filter(|line| line.starts_with("plexus-")) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(allowed.contains(&dependency), "{member} must not depend on {dependency}");
        }
    }
}

#[test]
fn each_foreign_world_has_one_door_in_the_agent() {
    let Some(files) = rust_files() else { return };
    for (world, doors) in DOORS {
        for file in files.iter().filter(|file| file.is_below(&["agent/src"]) && !file.is_below(doors)) {
            for (line, code) in file.code_lines() {
                assert!(
                    !has_word(&code, world),
                    "{}:{line} names {world}; only {} may",
                    file.path,
                    doors.join(" and ")
                );
            }
        }
    }
}
