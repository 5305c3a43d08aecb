//! A scenario file: YAML, read strictly.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plexus_agent::sandbox::XSK_FRAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::search::SearchPlan;

/// Frame sizes that RFC 2544 names for Ethernet, FCS included.
pub(crate) const RFC2544_BYTES: [usize; 7] = [64, 128, 256, 512, 1024, 1280, 1518];
/// Bytes of the FCS, which the device adds.
const FCS_BYTES: usize = 4;
/// Largest frame of a link with the usual MTU, and of any link; FCS included.
const USUAL_MAX: usize = 1518;
const BYTES_MAX: usize = 9018;
const SIZES_MAX: usize = 32;
const PPS_MAX: f64 = 1e9;

/// What is measured, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// For the reader.
    pub(crate) name: String,
    pub(crate) topology: Topology,
    pub(crate) generator: GeneratorKind,
    /// FCS included.
    pub(crate) frame_bytes: Vec<usize>,
    /// Flows, which differ by their UDP source port.
    #[serde(default = "one_flow")]
    pub(crate) flows: u16,
    /// As fast as it goes, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Rate>,
    /// Of each trial, in seconds.
    pub(crate) duration_s: f64,
    #[serde(default)]
    pub(crate) direction: Direction,
    #[serde(default = "one_repetition")]
    pub(crate) repetitions: u32,
    /// Looks for the highest rate without loss instead of sending at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) search: Option<SearchPlan>,
}

/// Between what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Topology {
    /// Two throw-away network namespaces.
    Netns(Between),
    /// Two devices of this machine, which a cable or a switch connects.
    Nics {
        /// Sends when `direction` is `forward`.
        from: String,
        /// Receives then.
        to: String,
    },
    /// Two pods; `plexus-bench pair` runs in both.
    Pair,
}

/// What is between two namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Between {
    /// One veth.
    Wire,
    /// The kernel's bridge.
    Bridge,
    /// A `fastpath` network of plexusd.
    Fastpath,
}

/// Who makes frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GeneratorKind {
    /// The kernel, by BPF_PROG_TEST_RUN on live frames.
    XdpLive,
    /// An AF_PACKET socket, many frames in one call.
    AfPacket,
    /// An AF_XDP socket: memory shared with the kernel.
    AfXdp,
}

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rate {
    /// As much as the generator makes.
    Max,
    /// Frames per second.
    Pps(f64),
    /// Bits per second of whole frames, FCS included, without preamble and gap.
    Bps(f64),
}

/// Which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    #[default]
    Forward,
    Backward,
    /// At the same time.
    Both,
}

fn one_flow() -> u16 {
    1
}

fn one_repetition() -> u32 {
    1
}

impl Scenario {
    /// Reads a file's text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let scenario: Self =
            serde_saphyr::from_str(text).context("it is no scenario; docs/bench.md has the keys")?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether every value makes sense; also after options of the command line changed some.
    pub(crate) fn check(&self) -> Result<()> {
        let largest = if matches!(self.topology, Topology::Netns(_)) { USUAL_MAX } else { BYTES_MAX };
        ensure!(!self.name.trim().is_empty(), "name is empty");
        ensure!(
            (1..=SIZES_MAX).contains(&self.frame_bytes.len()),
            "frame_bytes lists {} sizes; between 1 and {SIZES_MAX} are wanted",
            self.frame_bytes.len()
        );
        for bytes in &self.frame_bytes {
            ensure!(
                (64..=largest).contains(bytes),
                "frame_bytes has {bytes}; here a frame has 64 to {largest} bytes, FCS included"
            );
        }
        ensure!((1..=4096).contains(&self.flows), "flows is {}; between 1 and 4096 are wanted", self.flows);
        ensure!(
            (0.05..=3600.0).contains(&self.duration_s),
            "duration_s is {}; between 0.05 and 3600 seconds are wanted",
            self.duration_s
        );
        ensure!(
            (1..=100).contains(&self.repetitions),
            "repetitions is {}; between 1 and 100 are wanted",
            self.repetitions
        );
        ensure!(
            self.generator != GeneratorKind::XdpLive || self.flows.is_power_of_two(),
            "flows is {}; xdp-live makes a power of two",
            self.flows
        );
        self.check_af_xdp()?;
        for bytes in &self.frame_bytes {
            if let Some(pps) = self.pps(*bytes) {
                ensure!(
                    (1.0..=PPS_MAX).contains(&pps),
                    "rate is {pps:.2} frames per second; 1 to 1e9 are wanted"
                );
            }
        }
        if let Some(search) = &self.search {
            ensure!(self.rate.is_none(), "rate has no meaning beside search: take one of them away");
            ensure!(self.direction != Direction::Both, "search looks in one direction: forward or backward");
            search.check()?;
        }
        if let Topology::Nics { from, to } = &self.topology {
            ensure!(from != to, "topology.nics names {from} twice");
        }
        Ok(())
    }

    /// What af-xdp cannot do: a queue of a device has one socket, and a frame is one piece of its memory.
    fn check_af_xdp(&self) -> Result<()> {
        if self.generator != GeneratorKind::AfXdp {
            return Ok(());
        }
        ensure!(
            self.direction != Direction::Both,
            "direction is both; af-xdp takes the whole queue of a device, to send or to receive: forward or backward"
        );
        let largest = XSK_FRAME_BYTES_MAX + FCS_BYTES;
        for bytes in &self.frame_bytes {
            ensure!(
                *bytes <= largest,
                "frame_bytes has {bytes}; af-xdp takes at most {largest}, FCS included"
            );
        }
        Ok(())
    }

    /// Frames per second for frames of this size; nothing if as many as possible.
    pub(crate) fn pps(&self, frame_bytes: usize) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a frame has less than 10,000 bytes")]
        match self.rate {
            None | Some(Rate::Max) => None,
            Some(Rate::Pps(pps)) => Some(pps),
            Some(Rate::Bps(bps)) => Some(bps / (frame_bytes as f64 * 8.0)),
        }
    }

    /// How long a trial lasts.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.duration_s)
    }
}

/// What is handed to a device: without FCS.
pub(crate) const fn without_fcs(frame_bytes: usize) -> usize {
    frame_bytes - FCS_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "name: least\ntopology: {netns: wire}\ngenerator: af-packet\nframe_bytes: [64]\nduration_s: 0.3\n";

    fn refused(change: (&str, &str)) -> String {
        format!("{:#}", Scenario::parse(&LEAST.replace(change.0, change.1)).unwrap_err())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let scenario = Scenario::parse(LEAST).unwrap();
        assert_eq!((scenario.flows, scenario.repetitions), (1, 1));
        assert_eq!(scenario.direction, Direction::Forward);
        assert_eq!(scenario.pps(64), None);
    }

    #[test]
    fn rates_are_frames_or_bits_per_second() {
        let with = |rate: &str| Scenario::parse(&format!("{LEAST}rate: {rate}\n")).unwrap().pps(125);
        assert_eq!(with("max"), None);
        assert_eq!(with("{pps: 1000}"), Some(1000.0));
        assert_eq!(with("{bps: 1e6}"), Some(1000.0));
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_wanted() {
        for (change, part) in [
            (("[64]", "[63]"), "63; here a frame has 64 to 1518"),
            (("[64]", "[1519]"), "64 to 1518"),
            (("[64]", "[]"), "lists 0 sizes"),
            (("0.3", "0"), "duration_s is 0"),
            (("0.3", "1\nflows: 0"), "flows is 0"),
            (("af-packet", "xdp-live\nflows: 3"), "power of two"),
            (("0.3", "1\nrate: {pps: 0}"), "1 to 1e9"),
            (("{netns: wire}", "{nics: {from: a, to: a}}"), "names a twice"),
            (("0.3", "1\ntypo: 1"), "typo"),
            (("wire", "ether"), "ether"),
            (("af-packet", "dpdk"), "dpdk"),
            (("af-packet", "af-xdp\ndirection: both"), "whole queue of a device"),
        ] {
            let message = refused(change);
            assert!(message.contains(part), "{change:?}: {message}");
        }
    }

    #[test]
    fn af_xdp_takes_no_frame_longer_than_a_piece_of_its_memory() {
        let nics = "{nics: {from: a, to: b}}";
        let text = |bytes| {
            LEAST.replace("{netns: wire}", nics).replace("af-packet", "af-xdp").replace("[64]", bytes)
        };
        assert_eq!(Scenario::parse(&text("[3844]")).unwrap().generator, GeneratorKind::AfXdp);
        let message = format!("{:#}", Scenario::parse(&text("[64, 3845]")).unwrap_err());
        assert!(message.contains("at most 3844"), "{message}");
    }

    #[test]
    fn a_search_takes_no_rate() {
        let search =
            "search: {loss_percent: 0, min_pps: 1000, max_pps: 1e6, resolution_percent: 2, trial_s: 1}\n";
        let text = format!("{LEAST}{search}");
        assert!(Scenario::parse(&text).unwrap().search.is_some());
        let message = format!("{:#}", Scenario::parse(&format!("{text}rate: max\n")).unwrap_err());
        assert!(message.contains("take one of them away"), "{message}");
    }

    #[test]
    fn every_example_is_a_scenario_and_says_what_it_is() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("# "), "{} has no comment at its top", path.display());
            Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
            seen += 1;
        }
        assert!(seen >= 5);
    }

    #[test]
    fn the_scenario_of_the_manifests_is_one_of_a_pair() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/bench/two-pods.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
        let scenario = objects.iter().find_map(|object| object["data"]["scenario.yaml"].as_str()).unwrap();
        assert_eq!(Scenario::parse(scenario).unwrap().topology, Topology::Pair);
    }
}
