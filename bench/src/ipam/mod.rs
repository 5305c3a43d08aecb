//! `plexus-bench ipam`: addresses from pools that a whole cluster shares, against a real API server and database.
//!
//! ```text
//!   1, 16, 64, 256 nodes ─┬─ classic: every ADD writes the shared pool ─────────┐
//!   (threads, each with   │                                                     ├─ kube-apiserver ── etcd
//!    caches of its own)   └─ fast: every node hands out of slices that it owns ─┘
//! ```
//! Each container gets an IPv4 and an IPv6 address of one /16 and one /112. Duplicates and leaks are counted by comparing
//! what containers hold with the objects, which are read apart from the agent's code.

mod audit;
mod figures;
mod ledger;
mod node;
mod requests;
mod run;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use self::audit::Found;
use self::ledger::{Container, Ledger};
use self::run::{Outcome, Plan, run};
use self::stage::Stage;
use crate::args::{IpamMode, IpamOptions};
use crate::publish::publish;
use crate::report::BenchReport;
use crate::screen::Screen;

/// Addresses of one container.
const FAMILIES: usize = 2;

impl IpamMode {
    /// As arms name it.
    fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Fast => "fast",
            Self::FastPaced => "fast_paced",
        }
    }
}

/// Measures, shows the figures and writes the report. A wish that is not met is shown, it is no failure.
pub(crate) fn verb(options: &IpamOptions, screen: &mut Screen) -> Result<ExitCode> {
    let mut report = BenchReport::begin("ipam");
    screen.heading("Addresses of a cluster");
    let mut stage = Stage::build(options)?;
    for &mode in &options.modes {
        for &count in &options.nodes {
            let text = format!("{} nodes, {}", count, mode.name());
            let progress = screen.progress(&text, 0);
            let outcome = measure(&mut stage, options, mode, count)?;
            progress.finish_and_clear();
            figures::add(&mut report, mode.name(), count, &outcome);
        }
    }
    conditions(&stage, options, &mut report);
    figures::ratios(&mut report);
    publish(&report, options.common.report.as_deref(), options.html.as_deref(), screen)?;
    let is_sound =
        ["duplicates", "leaks"].iter().all(|name| report.ratios.get(name).is_none_or(|seen| *seen <= 0.0));
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(stage: &mut Stage, options: &IpamOptions, mode: IpamMode, count: usize) -> Result<Outcome> {
    let network = format!("{}-{count}", mode.name().replace('_', "-"));
    let nodes = stage.nodes(&network, count, mode != IpamMode::Classic)?;
    let (requests, admin) = (stage.requests(), &stage.api.admin);
    let containers = options.addresses.div_ceil(FAMILIES).max(count);
    let held =
        if mode == IpamMode::Classic { options.held.div_ceil(FAMILIES).max(count) } else { containers };
    let rate = (mode == IpamMode::FastPaced).then_some(options.rate);
    let plan = Plan { containers, held, rate, limit: Duration::from_secs(options.limit_s) };
    let audit = |ledger: &Ledger| -> Result<Found> {
        let held = ledger.held();
        match mode {
            IpamMode::Classic => audit::classic(admin, &network, &held, Container::id),
            IpamMode::Fast | IpamMode::FastPaced => {
                let mut found = audit::fast(admin, &network, &held, |number| nodes[number].name.clone())?;
                let leases: u64 = nodes.iter().map(node::Node::leases).sum::<Result<u64>>()?;
                found.leaks += leases.saturating_sub(held.len() as u64);
                Ok(found)
            }
        }
    };
    run(&nodes, plan, &requests, &audit)
}

fn conditions(stage: &Stage, options: &IpamOptions, report: &mut BenchReport) {
    let fs = nix::sys::statfs::statfs(stage.work_dir()).map(|fs| format!("{:?}", fs.filesystem_type()));
    report.conditions.extend([
        ("addresses", json!(options.addresses)),
        ("held_at_once_classic", json!(options.held)),
        ("limit_s", json!(options.limit_s)),
        ("paced_adds_per_second", json!(options.rate)),
        ("ranges", json!([node::IPV4, node::IPV6])),
        ("node_slice_size", json!(node::SLICE_SIZES)),
        ("nodes_are", json!("threads of one process, each with caches, claimer and leases of its own, on the machine that runs the API server too")),
        ("api_server", json!("kube-apiserver with RBAC and audit log, etcd without fsync, both on this machine")),
        ("leases_file_system", json!(fs.unwrap_or_default())),
    ]);
}
