//! One look at everything that is held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::decide::{Judge, Known, PodNow};
use super::election::Election;
use super::free::{Freed, free};
use super::hold::Hold;
use super::lease;
use super::read;
use super::slices::LostNodes;
use super::suspect::Suspect;
use super::suspects::Suspects;
use super::turn::turn;
use crate::cluster::{ApiError, PoolStore};

/// How often and how much.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two rounds of the leader.
    pub period: Duration,
    /// Between the first and the second sight of a leak.
    pub grace: Duration,
    /// The same for a node without a Node object.
    pub node_grace: Duration,
    /// A Lease that nobody renewed for so long is free.
    pub lease: Duration,
    /// Rounds of the leader to one of an agent that does not lead.
    pub own_every: u32,
    /// Most pods, and most nodes, that one round asks for.
    pub reads_max: usize,
    /// Longest round.
    pub limit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            period: Duration::from_mins(10),
            grace: Duration::from_mins(5),
            node_grace: Duration::from_mins(10),
            lease: Duration::from_mins(25),
            own_every: 6,
            reads_max: 1000,
            limit: Duration::from_mins(2),
        }
    }
}

/// This node, as far as a round asks for it.
pub trait Here {
    /// Containers that are attached here; `None` where that cannot be told, and then nothing is freed.
    fn known(&self) -> Option<Known>;
    /// Whether a pod of that name is on this node, as far as the cache knows.
    fn has_pod(&self, namespace: &str, name: &str) -> bool;
}

/// What is remembered from round to round.
#[derive(Debug)]
pub struct Reconciler {
    node: String,
    pace: Pace,
    election: Election,
    is_leader: bool,
    suspects: Suspects<Suspect>,
    lost: LostNodes,
    last: Option<String>,
    rounds: u32,
}

impl Reconciler {
    /// `node` is this node's name, and the agent's in the election.
    pub fn new(node: String, pace: Pace) -> Self {
        let election = Election::new(node.clone(), pace.lease);
        Self {
            node,
            pace,
            election,
            is_leader: false,
            suspects: Suspects::default(),
            lost: LostNodes::default(),
            last: None,
            rounds: 0,
        }
    }

    /// Whether this agent led in its last round.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }

    /// Suspects that wait for their second look.
    pub fn suspects(&self) -> usize {
        self.suspects.len()
    }

    /// One round at `now`. A call that fails ends it; the next one begins anew, and suspects keep their time.
    pub fn round(&mut self, store: &dyn PoolStore, here: &dyn Here, now: Instant) -> Result<Freed, ApiError> {
        let deadline = Instant::now() + self.pace.limit;
        let was_leader = self.is_leader;
        self.is_leader = lease::lead(store, &mut self.election, &self.node, self.pace.lease, now, deadline)?;
        if was_leader && !self.is_leader {
            self.suspects.clear();
            self.lost.clear();
        }
        let is_turn = self.rounds.is_multiple_of(self.pace.own_every.max(1));
        self.rounds = self.rounds.wrapping_add(1);
        if !self.is_leader && !is_turn {
            return Ok(Freed::default());
        }
        let mut freed = self.look(store, here, now, deadline)?;
        if self.is_leader {
            let pools = store.slice_pools(deadline)?;
            freed.slices = self.lost.look(store, &pools, &self.pace, now, deadline)?;
        }
        Ok(freed)
    }

    fn look(
        &mut self,
        store: &dyn PoolStore,
        here: &dyn Here,
        now: Instant,
        deadline: Instant,
    ) -> Result<Freed, ApiError> {
        let holds = read::holds(&store.pools(deadline)?, &store.reservations(deadline)?);
        // Read behind the pools: an ADD writes its record before it allocates.
        let Some(known) = here.known() else { return Ok(Freed::default()) };
        let judge = Judge { node: &self.node, known: &known, is_leader: self.is_leader };
        let mut by_pod: BTreeMap<&str, Vec<&Hold>> = BTreeMap::new();
        for hold in &holds {
            let is_asked =
                hold.pod().is_some_and(|(namespace, name)| self.is_leader || here.has_pod(namespace, name));
            // What would be kept though its pod were gone needs no question.
            if is_asked && !judge.is_known(hold) {
                by_pod.entry(&hold.podref).or_default().push(hold);
            }
        }
        let pods: BTreeSet<&str> = by_pod.keys().copied().collect();
        let urgent: BTreeSet<String> = self.suspects.all().map(|found| found.hold.podref.clone()).collect();
        let urgent = urgent.iter().map(|podref| &**podref).collect();
        let looked = turn(&pods, &urgent, self.last.as_deref(), self.pace.reads_max);
        let mut found = Vec::new();
        for podref in &looked {
            let pod = ask(store, podref, deadline)?;
            found.extend(by_pod[podref].iter().filter_map(|hold| suspect(&judge, hold, &pod)));
        }
        let was_looked =
            |seen: &Suspect| looked.contains(&&*seen.hold.podref) || !pods.contains(&*seen.hold.podref);
        let due = self.suspects.look(found, was_looked, now, self.pace.grace);
        self.last = looked.last().map(|podref| (*podref).to_owned());
        let mut still = |due: &Suspect| {
            let Some(known) = here.known() else { return false };
            let judge = Judge { known: &known, ..judge };
            ask(store, &due.hold.podref, deadline)
                .is_ok_and(|pod| suspect(&judge, &due.hold, &pod).as_ref() == Some(due))
        };
        free(store, due, &mut still, deadline)
    }
}

fn suspect(judge: &Judge<'_>, hold: &Hold, pod: &PodNow) -> Option<Suspect> {
    let leak = judge.leak(hold, pod)?;
    Some(Suspect { hold: hold.clone(), leak, pod_uid: pod.uid().to_owned() })
}

/// The pod from the API server itself: a cache may be behind.
fn ask(store: &dyn PoolStore, podref: &str, deadline: Instant) -> Result<PodNow, ApiError> {
    let Some((namespace, name)) = podref.split_once('/') else { return Ok(PodNow::Unknown) };
    Ok(match store.pod_now(namespace, name, deadline)? {
        None => PodNow::Gone,
        Some(pod) if pod.has_ended => PodNow::Ended,
        Some(pod) => PodNow::Lives {
            uid: pod.uid,
            node: pod.node,
            shown: pod.has_status.then(|| pod.ips.into_iter().collect()),
        },
    })
}
