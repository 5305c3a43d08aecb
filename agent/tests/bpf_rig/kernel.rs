//! Running programs on frames by BPF_PROG_TEST_RUN: the object once more, on the data plane's own maps.

use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::Array,
    programs::{SchedClassifier, Xdp},
};
use plexus_abi::{Direction, PolicerConfig, PolicerState, policer_index};
use plexus_agent::datapath::{
    load::OBJECT,
    maps::{MAPS, PROGRAMS},
};

use super::Rig;

/// Return codes of tcx programs.
pub(crate) const TCX_NEXT: i32 = -1;
pub(crate) const TC_DROP: i32 = 2;
pub(crate) const TC_REDIRECT: i32 = 7;
/// Return codes of XDP programs.
pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const XDP_REDIRECT: u32 = 4;

/// Offsets in `struct __sk_buff`, and its size.
const SKB_IFINDEX: usize = 40;
const SKB_CB: usize = 48;
const SKB_GSO_SEGS: usize = 164;
const SKB_GSO_SIZE: usize = 176;
const SKB_BYTES: usize = 192;

/// Programs to run on frames.
pub(crate) struct Kernel {
    ebpf: Ebpf,
}

const CLASSIFIERS: [&str; 12] = [
    "port_tc",
    "port_learning",
    "port_routing",
    "netkit_tx",
    "netkit_learning",
    "uplink_tc",
    "tap_tx",
    "tap_rx",
    "route",
    "shape",
    "edge_push",
    "edge_pop",
];

impl Kernel {
    /// Loads the object on the maps that the rig's data plane has pinned.
    pub(crate) fn load(rig: &Rig) -> Self {
        let pins = rig.pins();
        let mut loader = EbpfLoader::new();
        for (name, _) in MAPS {
            let suffix = format!("/maps/{name}");
            let pin = pins.iter().find(|pin| pin.ends_with(&suffix)).expect("a pinned map");
            loader.map_pin_path(name, std::path::PathBuf::from(pin));
        }
        let programs = pins.iter().find(|pin| pin.ends_with("/programs")).expect("the pinned gates");
        loader.map_pin_path(PROGRAMS, std::path::PathBuf::from(programs));
        let mut ebpf = loader.load(OBJECT).expect("load");
        for name in CLASSIFIERS {
            let program: &mut SchedClassifier = ebpf.program_mut(name).expect(name).try_into().expect(name);
            program.load().expect(name);
        }
        let program: &mut Xdp = ebpf.program_mut("uplink_xdp").expect("xdp").try_into().expect("xdp");
        program.load().expect("xdp");
        Self { ebpf }
    }

    /// Runs a tcx program on a frame of a device; the verdict and the frame afterwards.
    pub(crate) fn tc(&self, program: &str, ifindex: u32, frame: &[u8]) -> (i32, Vec<u8>) {
        self.tc_segmented(program, ifindex, frame, 0, 0)
    }

    /// The same for a packet that segmentation offload cuts into `segments` of `segment_bytes`.
    pub(crate) fn tc_segmented(
        &self,
        program: &str,
        ifindex: u32,
        frame: &[u8],
        segments: u32,
        segment_bytes: u32,
    ) -> (i32, Vec<u8>) {
        let mut context = [0; SKB_BYTES];
        for (offset, value) in
            [(SKB_IFINDEX, ifindex), (SKB_GSO_SEGS, segments), (SKB_GSO_SIZE, segment_bytes)]
        {
            context[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        }
        let program: &SchedClassifier = self.ebpf.program(program).expect("program").try_into().expect("tc");
        let mut out = vec![0; 9000];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = program.test_run(options).expect("test run");
        out.truncate(result.data_size_out as usize);
        (result.return_value.cast_signed(), out)
    }

    /// Nanoseconds of one run of a tcx program on a frame of a device, over many runs.
    pub(crate) fn tc_cost_ns(&self, program: &str, ifindex: u32, frame: &[u8]) -> u128 {
        let mut context = [0; SKB_BYTES];
        context[SKB_IFINDEX..SKB_IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
        let program: &SchedClassifier = self.ebpf.program(program).expect("program").try_into().expect("tc");
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            repeat: 100_000,
            ..TestRunOptions::new()
        };
        // The kernel tells the mean of the runs.
        program.test_run(options).expect("test run").duration.as_nanos()
    }

    /// Runs the program that looks up routes, for a port; the verdict and the time of one of `repeat` runs.
    pub(crate) fn route(&self, port: u32, frame: &[u8], repeat: u32) -> (i32, std::time::Duration) {
        self.named("route", port, frame, repeat)
    }

    /// Runs the program that gives packets their time at the pod's end of a port's veth; the verdict.
    pub(crate) fn shape(&self, port: u32, frame: &[u8]) -> i32 {
        self.named("shape", port, frame, 1).0
    }

    /// Runs a program whose gate names the port.
    fn named(&self, program: &str, port: u32, frame: &[u8], repeat: u32) -> (i32, std::time::Duration) {
        let mut context = [0; SKB_BYTES];
        context[SKB_CB + 12..SKB_CB + 16].copy_from_slice(&port.to_ne_bytes());
        let options =
            TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), repeat, ..TestRunOptions::new() };
        let program: &SchedClassifier = self.ebpf.program(program).expect("program").try_into().expect("tc");
        let result = program.test_run(options).expect("test run");
        (result.return_value.cast_signed(), result.duration)
    }

    /// Runs the uplink's XDP program on a frame; the verdict and the frame afterwards.
    pub(crate) fn xdp(&self, ifindex: u32, frame: &[u8]) -> (u32, Vec<u8>) {
        let mut context = Vec::new();
        for field in [0, u32::try_from(frame.len()).expect("short"), 0, ifindex, 0, 0] {
            context.extend(field.to_ne_bytes());
        }
        let program: &Xdp = self.ebpf.program("uplink_xdp").expect("program").try_into().expect("xdp");
        let mut out = vec![0; 9000];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = program.test_run(options).expect("test run");
        out.truncate(result.data_size_out as usize);
        (result.return_value, out)
    }

    pub(crate) fn policer(&self, port: u32, direction: Direction) -> PolicerConfig {
        let map =
            Array::<_, PolicerConfig>::try_from(self.ebpf.map("POLICERS").expect("map")).expect("array");
        map.get(&policer_index(port, direction), 0).expect("policer")
    }

    pub(crate) fn tat_ticks(&self, port: u32, direction: Direction) -> u64 {
        let map =
            Array::<_, PolicerState>::try_from(self.ebpf.map("POLICER_STATES").expect("map")).expect("array");
        map.get(&policer_index(port, direction), 0).expect("state").tat_ticks
    }

    pub(crate) fn set_tat_ticks(&mut self, port: u32, direction: Direction, tat_ticks: u64) {
        let map = self.ebpf.map_mut("POLICER_STATES").expect("map");
        let mut map = Array::<_, PolicerState>::try_from(map).expect("array");
        map.set(policer_index(port, direction), PolicerState { tat_ticks }, 0).expect("state");
    }
}
