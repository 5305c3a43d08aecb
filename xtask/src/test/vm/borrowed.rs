//! Tests of other suites that also run in guests: what this machine's kernel may lack, and a choice of those whose outcome may
//! differ between kernels. Each costs an emulated machine seconds, so not all of them.

use crate::setup::Series;
use crate::test::binary::TestBinary;

/// Some tests of one program.
struct Loan {
    program: &'static str,
    /// How their names begin.
    tests: &'static [&'static str],
    /// The first series that has what they need.
    since: Series,
}

const LOANS: [Loan; 18] = [
    // A kernel without VLAN filtering on bridges skips it.
    Loan { program: "netns_bridge", tests: &["a_vlan_keeps_pods_apart"], since: Series::V6_1 },
    // Traffic and nftables rules of a bridge.
    Loan {
        program: "netns_bridge",
        tests: &["pods_reach_each_other_the_gateway", "macspoofchk_lets_only"],
        since: Series::V6_1,
    },
    // ADD, CHECK and DEL by netlink as this kernel speaks it.
    Loan {
        program: "netns_cni",
        tests: &[
            "add::c040_c046_to_c049_the_result_of_a_macvlan",
            "add::c045_c046_a_fastpath_result",
            "check::c091_check_finds_a_detached",
            "del::c080_a_del_while_plexusd_is_away",
        ],
        since: Series::V6_1,
    },
    // Chains of several plugins, bandwidth included.
    Loan { program: "netns_cni", tests: &["foreign::a_conflist_of_reference_plugins"], since: Series::V6_1 },
    // Where programs can be put differs between kernels.
    Loan {
        program: "netns_cni",
        tests: &["placement::ports_and_explain_say", "placement::a_guarded_macvlan_sends"],
        since: Series::V6_1,
    },
    // What a kernel asks a capability for changes.
    Loan {
        program: "netns_capabilities",
        tests: &["the_capabilities_of_the_daemon_set"],
        since: Series::V6_1,
    },
    // The programs load, and forward between pods and to the outside.
    Loan {
        program: "bpf_fastpath",
        tests: &["a_tcp_stream_survives", "a_network_without_uplink_ends"],
        since: Series::V6_1,
    },
    // Programs of their own on networks that learn.
    Loan {
        program: "bpf_learning",
        tests: &["a_station_moves", "a_machine_on_a_nested"],
        since: Series::V6_1,
    },
    // And on networks that route, with the stack's answers.
    Loan {
        program: "bpf_routing",
        tests: &["a_packet_for_another_pod", "pods_and_the_outside", "the_stack_tells"],
        since: Series::V6_1,
    },
    // Uplinks without tcx, which 6.1 does not have.
    Loan {
        program: "bpf_uplink_gate",
        tests: &["pods_reach_the_outside_through", "a_new_agent_takes_over"],
        since: Series::V6_1,
    },
    // Redirection by XDP, for which an agent asks a kernel since 6.3.
    Loan { program: "bpf_fastpath", tests: &["everybody_reaches_everybody"], since: Series::V6_12 },
    // XDP and tcx on an uplink.
    Loan {
        program: "bpf_uplink",
        tests: &["xdp_pops_the_tag", "tcx_copies_broadcasts"],
        since: Series::V6_12,
    },
    // Filters inside of pods.
    Loan {
        program: "bpf_tap",
        tests: &["a_pod_tap_counts", "a_policer_holds_back", "a_guarded_tap_drops_what"],
        since: Series::V6_1,
    },
    // Tries in a map of maps, and redirection to a neighbour in a pod.
    Loan {
        program: "bpf_route",
        tests: &["the_longest_prefix_says", "a_blackhole_drops", "a_gate_that_is_taken_away"],
        since: Series::V6_1,
    },
    // What verifiers think of frames that are copied into a ring, and kernels of rings.
    Loan {
        program: "bpf_seen",
        tests: &["every_reason_of_the_guard", "a_flood_of_drops", "a_port_is_captured_once"],
        since: Series::V6_1,
    },
    Loan {
        program: "bpf_seen",
        tests: &["policed_frames_are_sampled", "a_capture_has_what"],
        since: Series::V6_12,
    },
    // The shaper writes a packet's time and marks, as each kernel's verifier allows.
    Loan { program: "bpf_shaper", tests: &["a_queue_that_grows", "what_would_wait"], since: Series::V6_1 },
    // Programs are replaced under traffic; where uplinks have no tcx, `bpf_uplink_gate` shows it.
    Loan {
        program: "bpf_restart",
        tests: &["a_new_generation_takes_over", "a_restart_loses_no_packet"],
        since: Series::V6_12,
    },
];

/// Whether any of its tests is borrowed.
pub(super) fn is_lender(binary: &TestBinary) -> bool {
    binary.is_integration && LOANS.iter().any(|loan| loan.program == binary.name)
}

/// Whether this test of it is borrowed for guests with a kernel of `series`.
pub(super) fn is_borrowed(binary: &TestBinary, test: &str, series: Series) -> bool {
    LOANS.iter().any(|loan| {
        loan.program == binary.name
            && loan.since <= series
            && loan.tests.iter().any(|begin| test.starts_with(begin))
    })
}

/// What is borrowed but does not exist, as `PROGRAM TEST`: it was renamed, and the table was not.
pub(super) fn lost(tests: &[(String, String)]) -> Vec<String> {
    let wanted = LOANS.iter().flat_map(|loan| loan.tests.iter().map(|begin| (loan.program, *begin)));
    wanted
        .filter(|(program, begin)| {
            !tests.iter().any(|(binary, test)| binary == program && test.starts_with(begin))
        })
        .map(|(program, begin)| format!("{program} {begin}"))
        .collect()
}
