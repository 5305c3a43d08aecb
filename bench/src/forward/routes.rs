//! The time of one look-up of a route, with few prefixes and with many, by BPF_PROG_TEST_RUN.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use plexus_agent::datapath::{Datapath, DatapathOptions, RouteHop, RouteSpec, port_ifindex};
use plexus_agent::lab::Host;

use super::ports;
use crate::args::ForwardOptions;
use crate::packets::frame::{SHORTEST, udp_between};
use crate::report::Figures;
use crate::screen::Screen;

/// The program that looks up.
const PROGRAM: &str = "route";
/// Prefixes of each table, the bits that they leave to hosts, and what its arms are called. Both tables lie in 10.0.0.0/8.
const TABLES: [(u32, u32, [&str; 2]); 2] = [
    (10, 20, ["cost_routes.10", "cost_routes_first.10"]),
    (100_000, 4, ["cost_routes.100000", "cost_routes_first.100000"]),
];
/// Destinations in turn, as many flows of a pod go on at once: each is looked up again before it is forgotten.
const FLOWS: u32 = 256;
/// Runs for each of them in a round.
const RUNS_PER_FLOW: u32 = 500;
/// Destinations that are looked up for the first time, which the CPU does not remember.
const NEWCOMERS: u32 = 20_000;
/// Next hops that the prefixes share.
const GATEWAYS: u8 = 8;
/// Where in `struct __sk_buff` the gate names the port, and the struct's size.
const SKB_PORT: usize = 60;
const SKB_BYTES: usize = 192;
/// Return code of a classifier that redirected.
const TC_REDIRECT: u32 = 7;

/// A table behind a port of its own.
struct Routed {
    port: u32,
    prefixes: u32,
    host_bits: u32,
}

/// Times both tables in turns: with destinations that were looked up before, and with others.
pub(super) fn measure(
    host: &Host,
    options: &ForwardOptions,
    screen: &Screen,
) -> Result<BTreeMap<String, Figures>> {
    let bpffs = host.bpffs().join("routes");
    let datapath = Datapath::open(&DatapathOptions { bpffs: bpffs.clone(), ..DatapathOptions::default() })?;
    let program = ports::load(&bpffs, PROGRAM)?;
    let progress = screen.progress("cost of one route", options.rounds.into());
    let mut samples: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let tables = (1..).zip(TABLES).map(|(port, (prefixes, host_bits, arms))| {
        let table: Vec<RouteSpec> =
            (0..prefixes).map(|number| route(number, host_bits)).collect::<Result<_>>()?;
        datapath.set_routes(port, &table)?;
        datapath.bind_routes(port, port, [port_ifindex(port); plexus_agent::datapath::MAX_ROUTE_DEVICES])?;
        Ok((Routed { port, prefixes, host_bits }, arms))
    });
    let tables = tables.collect::<Result<Vec<_>>>()?;
    // The first round warms up.
    for round in 0..=options.rounds {
        for (table, [again, first]) in &tables {
            let seen = [(*again, table.again(&program)?), (*first, table.first(&program, round)?)];
            for (arm, time) in seen.into_iter().filter(|_| round > 0) {
                samples.entry(arm).or_default().push(time);
            }
        }
        progress.inc(u64::from(round > 0));
    }
    progress.finish_and_clear();
    let figures = samples
        .iter()
        .filter_map(|(name, samples)| Some(((*name).to_owned(), Figures::of_rounds(samples, "ns/run")?)));
    Ok(figures.collect())
}

impl Routed {
    /// Nanoseconds of a run when few destinations follow each other.
    fn again(&self, program: &Ebpf) -> Result<f64> {
        let mut sum = Duration::ZERO;
        for flow in 0..FLOWS {
            sum += self.time(program, flow * self.prefixes / FLOWS, flow, RUNS_PER_FLOW)?;
        }
        Ok(sum.as_secs_f64() * 1e9 / f64::from(FLOWS))
    }

    /// Nanoseconds of a run for destinations that no earlier run asked for; reading the clock twice is part of each.
    fn first(&self, program: &Ebpf, round: u32) -> Result<f64> {
        let mut sum = Duration::ZERO;
        for number in 0..NEWCOMERS {
            // A large odd step goes through all prefixes without an order that a cache of the CPU could use.
            let prefix = number.wrapping_mul(48_271) % self.prefixes;
            sum += self.time(program, prefix, number + round * NEWCOMERS, 1)?;
        }
        Ok(sum.as_secs_f64() * 1e9 / f64::from(NEWCOMERS))
    }

    /// The time of one run for a host of a prefix.
    fn time(&self, program: &Ebpf, prefix: u32, host: u32, repeat: u32) -> Result<Duration> {
        let to =
            Ipv4Addr::from_bits(network(prefix, self.host_bits).to_bits() | (host % (1 << self.host_bits)));
        let station = [2, 0, 0, 9, 0, 1];
        let frame = udp_between((station, Ipv4Addr::new(192, 0, 2, 1)), (station, to), SHORTEST);
        let mut context = [0; SKB_BYTES];
        context[SKB_PORT..SKB_PORT + 4].copy_from_slice(&self.port.to_ne_bytes());
        let options =
            TestRunOptions { data_in: Some(&frame), ctx_in: Some(&context), repeat, ..TestRunOptions::new() };
        let found =
            program.program(PROGRAM).with_context(|| format!("the object has no program {PROGRAM}"))?;
        let found: &SchedClassifier = found.try_into()?;
        let result =
            found.test_run(options).with_context(|| format!("the kernel refused to run {PROGRAM}"))?;
        let verdict = result.return_value;
        ensure!(verdict == TC_REDIRECT, "{PROGRAM} had no route to {to}: verdict {verdict}");
        Ok(result.duration)
    }
}

/// The prefix with this number.
fn network(number: u32, host_bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | number << host_bits)
}

fn route(number: u32, host_bits: u32) -> Result<RouteSpec> {
    let [.., last] = number.to_be_bytes();
    let gateway = IpAddr::from([172, 16, 0, 1 + last % GATEWAYS]);
    let dst = format!("{}/{}", network(number, host_bits), 32 - host_bits).parse()?;
    Ok(RouteSpec { dst, hop: RouteHop::Gateway { gateway, device: 0 } })
}
