//! The cost of one run of the data plane's program, step by step.

use crate::profile::{Profile, Row};
use crate::report::BenchReport;

/// How the steps are found.
const WHAT: &str = "One run by BPF_PROG_TEST_RUN. Guards and limits: the program with one more of them switched on, less the \
     program without. Gate and counters: that step alone in a program of its own. The rest is what is left. The same packet \
     again and again finds its receiver by the sender's hint and its limits paid ahead: a look-up in the forwarding database \
     (cost_alone.look_up) and a reading of the clock (cost_alone.read_clock) come on top where they do not.";

/// The steps of `cost_tc.plexus` beside those of `cost_tc.redirect_peer`; nothing if an arm is missing.
pub(super) fn profile(report: &BenchReport) -> Option<Profile> {
    let cost = |arm: &str| report.median(&format!("cost_tc.{arm}"));
    let run = report.median("cost_alone.nothing")?;
    let alone = |arm: &str| Some(report.median(&format!("cost_alone.{arm}"))? - run);
    let least = cost("redirect_peer")?;
    let [gate, counter] = [alone("call_nothing")?, alone("count_once")?];
    let [bare, mac, guarded, one, all] = [
        cost("plexus_without_both")?,
        cost("plexus_only_mac_guard")?,
        cost("plexus_without_limits")?,
        cost("plexus_one_limit")?,
        cost("plexus")?,
    ];
    // A packet is counted twice: at the port that sends it, and at the one that gets it.
    let rest = bare - least - gate - 2.0 * counter;
    let steps = [
        ("run of any program", run),
        ("redirect", least - run),
        ("gate (tail call)", gate),
        ("two counters", 2.0 * counter),
        ("parsing, ports, VLAN, rest", rest),
        ("MAC guard", mac - bare),
        ("IP guard", guarded - mac),
        ("sender's policer", one - guarded),
        ("receiver's policer", all - one),
    ];
    let row = |name, steps: &[(&str, f64)]| {
        Row::of(name, steps.iter().map(|(step, value)| ((*step).to_owned(), *value)))
    };
    let rows = vec![row("plexus", &steps), row("redirect_peer", &steps[..2])];
    Some(Profile { what: WHAT.into(), unit: "ns/run", explains: Vec::new(), rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    #[test]
    fn the_steps_add_up_to_the_whole() {
        let mut report = BenchReport::begin("forward");
        assert!(profile(&report).is_none());
        for (arm, nanoseconds) in [
            ("cost_alone.nothing", 5.0),
            ("cost_alone.call_nothing", 8.0),
            ("cost_alone.count_once", 9.0),
            ("cost_tc.redirect_peer", 10.0),
            ("cost_tc.plexus_without_both", 50.0),
            ("cost_tc.plexus_only_mac_guard", 52.0),
            ("cost_tc.plexus_without_limits", 60.0),
            ("cost_tc.plexus_one_limit", 90.0),
            ("cost_tc.plexus", 100.0),
        ] {
            report.arms.insert(arm.into(), Figures::of_rounds(&[nanoseconds], "ns/run").unwrap());
        }
        let profile = profile(&report).unwrap();
        assert!((profile.rows[0].total - 100.0).abs() < 1e-9);
        assert!((profile.rows[1].total - 10.0).abs() < 1e-9);
        let part = |name: &str| profile.rows[0].parts.iter().find(|part| part.name == name).unwrap().value;
        assert!((part("sender's policer") - 30.0).abs() < 1e-9);
        assert!((part("parsing, ports, VLAN, rest") - 29.0).abs() < 1e-9);
    }
}
