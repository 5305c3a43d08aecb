//! A data plane of its own for timing single runs of its programs: ports on links that carry no traffic.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use plexus_agent::datapath::load::OBJECT;
use plexus_agent::datapath::maps::{MAPS, PROGRAMS};
use plexus_agent::datapath::{
    Datapath, DatapathOptions, Guard, NetworkSpec, PolicerSpec, PortKind, PortSpec, XdpChoice, port_ifindex,
};
use plexus_agent::lab::command::{COMMAND_DEADLINE_MS, run_with_input};

use crate::packets::frame::{SHORTEST, udp_between};

/// Ports of one network; a broadcast domain holds 256.
const PORTS_PER_NETWORK: u32 = 200;
/// VLAN of every network: part of the key of every look-up.
const VLAN: u16 = 100;
/// A limit that no run reaches, so that the policers calculate and let pass.
const LIMIT: PolicerSpec = PolicerSpec { rate_bps: 200_000_000_000, burst_bits: 20_000_000_000 };
/// Most entries of a directory of pins that are looked at.
const PINS_MAX: usize = 1000;
/// Offset of `ifindex` in `struct __sk_buff`, and the struct's size.
const SKB_IFINDEX: usize = 40;
const SKB_BYTES: usize = 192;
/// Return code of a classifier that redirected.
const TC_REDIRECT: u32 = 7;
/// What stands on a port's device, and leads to the program that does the work.
const GATE: &str = "port_gate";

/// What the ports of a data plane have beside forwarding and counters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Features {
    /// Which spoofed addresses are dropped.
    pub(super) guard: Guard,
    /// What has a limit.
    pub(super) limits: Limits,
}

impl Features {
    /// Everything.
    pub(super) const ALL: Self = Self { guard: Guard { mac: true, ip: true }, limits: Limits::Both };
}

/// Directions with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    Neither,
    /// What a pod sends.
    Sending,
    Both,
}

/// Ports `first..first + count`, attached as plexusd attaches them.
pub(super) struct Ports {
    first: u32,
    count: u32,
    programs: Ebpf,
    /// Keeps the programs behind the gates.
    _datapath: Datapath,
}

impl Ports {
    /// Makes the links and adds the ports; pins are kept below `bpffs`.
    pub(super) fn add(bpffs: &Path, first: u32, count: u32, features: Features) -> Result<Self> {
        ensure!(count >= 2, "a frame needs a sender and a receiver");
        links(first, count)?;
        let options = DatapathOptions { bpffs: bpffs.to_owned(), ..DatapathOptions::default() };
        let datapath = Datapath::open(&options)?;
        for port in first..first + count {
            let network = network_of(port - first);
            let spec = NetworkSpec {
                id: network,
                uplink_ifindex: None,
                vlan: VLAN,
                xdp: XdpChoice::Never,
                ..NetworkSpec::default()
            };
            if (port - first).is_multiple_of(PORTS_PER_NETWORK) {
                datapath.upsert_network(&spec)?;
            }
            datapath.add_port(&PortSpec {
                id: port,
                kind: PortKind::Fastpath { network, vlan: VLAN },
                ifindex: port_ifindex(port),
                mac: mac(port),
                ips: vec![ipv4(port).into()],
                guard: features.guard,
                ingress: (features.limits == Limits::Both).then_some(LIMIT),
                egress: (features.limits != Limits::Neither).then_some(LIMIT),
                socket: None,
            })?;
        }
        let programs = load(bpffs, GATE)?;
        Ok(Self { first, count, programs, _datapath: datapath })
    }

    /// Runs a port's gate and the program behind it on a frame from port `number` (modulo their count) to its neighbour;
    /// gives the time of one run.
    pub(super) fn time(&self, number: u32, repeat: u32) -> Result<Duration> {
        let place = number % self.count;
        let neighbour = match place + 1 {
            next if next < self.count && network_of(next) == network_of(place) => next,
            _ => place - place % PORTS_PER_NETWORK,
        };
        let (from, to) = (self.first + place, self.first + neighbour);
        let frame = udp_between((mac(from), ipv4(from)), (mac(to), ipv4(to)), SHORTEST);
        let mut context = [0; SKB_BYTES];
        context[SKB_IFINDEX..SKB_IFINDEX + 4].copy_from_slice(&port_ifindex(from).to_ne_bytes());
        let options =
            TestRunOptions { data_in: Some(&frame), ctx_in: Some(&context), repeat, ..TestRunOptions::new() };
        let program =
            self.programs.program(GATE).with_context(|| format!("the object has no program {GATE}"))?;
        let program: &SchedClassifier = program.try_into()?;
        let result =
            program.test_run(options).with_context(|| format!("the kernel refused to run {GATE}"))?;
        let verdict = result.return_value;
        ensure!(
            verdict == TC_REDIRECT,
            "{GATE} did not forward from port {from} to port {to}: verdict {verdict}"
        );
        Ok(result.duration)
    }
}

fn network_of(place: u32) -> u32 {
    place / PORTS_PER_NETWORK + 1
}

fn mac(port: u32) -> [u8; 6] {
    let [_, _, high, low] = port.to_be_bytes();
    [2, 0, 0, 7, high, low]
}

fn ipv4(port: u32) -> Ipv4Addr {
    let [_, _, high, low] = port.to_be_bytes();
    Ipv4Addr::new(10, 7, high, low)
}

/// One veth for each port, in one run of `ip`.
fn links(first: u32, count: u32) -> Result<()> {
    let mut batch = String::new();
    for port in first..first + count {
        let index = port_ifindex(port);
        writeln!(batch, "link add plx{port} index {index} type veth peer name far{port}")?;
        writeln!(batch, "link set plx{port} up")?;
    }
    let deadline = Duration::from_millis(COMMAND_DEADLINE_MS);
    let ended = run_with_input(Command::new("ip").args(["-batch", "-"]), batch.as_bytes(), deadline)?;
    ensure!(ended.code == 0, "cannot make {count} veths: {}", ended.stderr.trim());
    Ok(())
}

/// The data plane's object once more, on the maps that are pinned below `bpffs`.
pub(super) fn load(bpffs: &Path, program: &str) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    for (name, _) in MAPS {
        loader.map_pin_path(name, pin(bpffs, name)?);
    }
    loader.map_pin_path(PROGRAMS, bpffs.join("programs"));
    let mut programs = loader.load(OBJECT).context("cannot load the data plane's programs once more")?;
    let found =
        programs.program_mut(program).with_context(|| format!("the object has no program {program}"))?;
    let found: &mut SchedClassifier = found.try_into()?;
    found.load().with_context(|| format!("the kernel refused {program}"))?;
    Ok(programs)
}

/// The pin of a map, in the only generation that there is.
fn pin(bpffs: &Path, map: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(bpffs).with_context(|| format!("cannot list {}", bpffs.display()))?;
    let found = entries
        .take(PINS_MAX)
        .filter_map(|entry| Some(entry.ok()?.path().join("maps").join(map)))
        .find(|path| path.exists());
    found.with_context(|| format!("no pin of the map {map} below {}", bpffs.display()))
}
