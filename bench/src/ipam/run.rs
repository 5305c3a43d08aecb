//! One run: nodes that allocate and free at the same time, in batches.

use std::net::IpAddr;
use std::sync::Barrier;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::Histogram;

use super::audit::Found;
use super::ledger::{Container, Ledger, SANDBOX};
use super::node::Node;
use super::requests::{Requests, Seen};

/// Between two tries of one ADD.
const RETRY: Duration = Duration::from_secs(1);

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Containers over all nodes; each gets an IPv4 and an IPv6 address.
    pub(super) containers: usize,
    /// Most containers that hold addresses at the same time.
    pub(super) held: usize,
    /// Allocations per second over all nodes, evenly; as fast as it goes where there is none.
    pub(super) rate: Option<f64>,
    /// No further container is begun after this.
    pub(super) limit: Duration,
}

/// What was seen.
pub(super) struct Outcome {
    /// Time of each ADD with its further tries, in nanoseconds, but for each node's first.
    pub(super) add: Histogram<u64>,
    /// Time of each node's first ADD.
    pub(super) cold: Histogram<u64>,
    /// Time of each DEL.
    pub(super) del: Histogram<u64>,
    /// Addresses that were handed out, each node's first ones too.
    pub(super) addresses: u64,
    /// Addresses per second, each batch from its begin to its last ADD.
    pub(super) rate: f64,
    /// Requests while containers were added, and while they were deleted.
    pub(super) requests: [Seen; 2],
    /// Tries of ADDs that failed.
    pub(super) failures: u64,
    /// Addresses that two held, or that somebody else may get.
    pub(super) duplicates: u64,
    /// What is held by nobody.
    pub(super) leaks: u64,
    /// Releases that were put off, of DELs and of ADDs that failed.
    pub(super) settled: u64,
    /// Whether the limit ended it.
    pub(super) is_cut: bool,
}

/// What one node saw of one batch.
struct Batch {
    add: Vec<u64>,
    cold: Option<u64>,
    failures: u64,
    held: Vec<(Container, Vec<IpAddr>)>,
}

/// Runs it; `audit` compares objects with the ledger, at the end of each batch and after everything was freed.
pub(super) fn run(
    nodes: &[Node],
    plan: Plan,
    requests: &Requests,
    audit: &dyn Fn(&Ledger) -> Result<Found>,
) -> Result<Outcome> {
    let ledger = Ledger::default();
    let begun = Instant::now();
    let mut outcome = Outcome::new()?;
    let (mut busy, mut done, mut counted) = (Duration::ZERO, 0, 0);
    while done < plan.containers {
        if begun.elapsed() >= plan.limit {
            outcome.is_cut = true;
            break;
        }
        let count = (plan.containers - done).min(plan.held);
        let before = requests.seen();
        let (batches, took) = add(nodes, &plan, &ledger, done, count, begun)?;
        let between = requests.seen();
        // What failed may still have taken effect: that is no leak as long as its release is noted.
        outcome.settled += settle(nodes)?;
        let found = audit(&ledger)?;
        outcome.duplicates += found.unprotected;
        outcome.leaks += found.leaks;
        for batch in &batches {
            batch.add.iter().try_for_each(|time| outcome.add.record(*time))?;
            batch.cold.iter().try_for_each(|time| outcome.cold.record(*time))?;
            outcome.failures += batch.failures;
            counted += batch.held.iter().map(|(_, addresses)| addresses.len() as u64).sum::<u64>();
        }
        let auditing = requests.seen();
        for time in free(nodes, &ledger, batches)? {
            outcome.del.record(time)?;
        }
        outcome.settled += settle(nodes)?;
        outcome.requests[0].add(between.since(before));
        outcome.requests[1].add(requests.seen().since(auditing));
        busy += took;
        done += count;
    }
    outcome.leaks += audit(&ledger)?.leaks;
    outcome.duplicates += ledger.duplicates();
    outcome.addresses = counted;
    outcome.rate = per_second(counted, busy);
    Ok(outcome)
}

/// Makes all releases that were put off; how many there were.
fn settle(nodes: &[Node]) -> Result<u64> {
    Ok(nodes.iter().map(Node::settle).sum::<Result<usize>>()? as u64)
}

/// Containers `from` and up are added, `count` of them over all nodes; each node's in turn.
fn add(
    nodes: &[Node],
    plan: &Plan,
    ledger: &Ledger,
    from: usize,
    count: usize,
    begun: Instant,
) -> Result<(Vec<Batch>, Duration)> {
    let start = Barrier::new(nodes.len() + 1);
    let work = |node: &Node| -> Batch {
        let mut batch = Batch { add: Vec::new(), cold: None, failures: 0, held: Vec::new() };
        start.wait();
        let first = Instant::now();
        for at in (node.number..count).step_by(nodes.len()) {
            if let Some(rate) = plan.rate {
                #[expect(clippy::cast_precision_loss, reason = "thousands of containers")]
                let due = first + Duration::from_secs_f64(at as f64 / rate);
                sleep(due.saturating_duration_since(Instant::now()));
            }
            if begun.elapsed() >= plan.limit {
                break;
            }
            let is_first = from == 0 && at == node.number;
            let asked = Instant::now();
            // As the kubelet does: another try in another sandbox.
            for sandbox in 0.. {
                let container = Container { node: node.number, number: from + at + sandbox * SANDBOX };
                match node.add(container) {
                    Ok(addresses) => {
                        let time = nanoseconds(asked.elapsed());
                        ledger.took(container, &addresses);
                        batch.held.push((container, addresses));
                        if is_first {
                            batch.cold = Some(time);
                        } else {
                            batch.add.push(time);
                        }
                        break;
                    }
                    Err(error) => {
                        eprintln!("{}: {error:#}", node.name);
                        batch.failures += 1;
                    }
                }
                if begun.elapsed() >= plan.limit {
                    break;
                }
                sleep(RETRY);
            }
        }
        batch
    };
    scope(|scope| {
        let threads: Vec<_> = nodes.iter().map(|node| scope.spawn(|| work(node))).collect();
        start.wait();
        let first = Instant::now();
        let batches: Result<Vec<_>> =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a node panicked"))).collect();
        Ok((batches?, first.elapsed()))
    })
}

/// Everything that was added is deleted, by all nodes at the same time.
fn free(nodes: &[Node], ledger: &Ledger, batches: Vec<Batch>) -> Result<Vec<u64>> {
    let work = |node: &Node, batch: Batch| -> Result<Vec<u64>> {
        let mut times = Vec::with_capacity(batch.held.len());
        for (container, addresses) in batch.held {
            ledger.gives_back(container, &addresses);
            let asked = Instant::now();
            node.del(container).with_context(|| format!("{}: DEL failed", node.name))?;
            times.push(nanoseconds(asked.elapsed()));
        }
        Ok(times)
    };
    scope(|scope| {
        let pairs = nodes.iter().zip(batches);
        let threads: Vec<_> = pairs.map(|(node, batch)| scope.spawn(|| work(node, batch))).collect();
        let mut times = Vec::new();
        for thread in threads {
            times.extend(thread.join().map_err(|_| anyhow!("a node panicked"))??);
        }
        Ok(times)
    })
}

impl Outcome {
    fn new() -> Result<Self> {
        let histogram = || Histogram::new(3).context("no histogram");
        Ok(Self {
            add: histogram()?,
            cold: histogram()?,
            del: histogram()?,
            addresses: 0,
            rate: 0.0,
            requests: [Seen::default(); 2],
            failures: 0,
            duplicates: 0,
            leaks: 0,
            settled: 0,
            is_cut: false,
        })
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "thousands of addresses")]
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}
