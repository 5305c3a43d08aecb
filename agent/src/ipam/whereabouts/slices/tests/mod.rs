//! Nodes in one process, with the cluster in memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod claims;
mod crash;
mod life;
mod model;
mod overlaps;
mod verbs;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plexus_cni::CniError;
use tempfile::TempDir;

use super::claimer::Diary;
use super::dice::Dice;
use super::lease::tests::lease;
use super::spec::tests::spec;
use super::*;
use crate::cluster::Slice;
use crate::lab::pool_store::MemoryPools;

/// A node: its directory outlives its process.
struct Node {
    dir: TempDir,
    name: String,
    api: Arc<MemoryPools>,
    slices: Slices,
    diary: Diary,
    starts: u64,
}

impl Node {
    fn new(api: &Arc<MemoryPools>, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let slices = open(&dir, name, api, 0);
        Self { dir, name: name.into(), api: Arc::clone(api), slices, diary: Diary::default(), starts: 0 }
    }

    /// The process ends at once and another one begins.
    fn restart(&mut self) {
        self.starts += 1;
        self.diary = Diary::default();
        self.slices = open(&self.dir, &self.name, &self.api, self.starts);
    }

    fn add(&self, spec: &PoolSpec, at: usize) -> Result<IpAddr, CniError> {
        self.add_wanted(spec, at, None)
    }

    fn add_wanted(&self, spec: &PoolSpec, at: usize, wanted: Option<&str>) -> Result<IpAddr, CniError> {
        let wanted = wanted.map(|text| text.parse().unwrap());
        let wish = Wish { spec: spec.clone(), wanted };
        let given = self.slices.acquire(&[wish], &lease(at), soon())?;
        assert_eq!(given.len(), 1);
        Ok(given[0])
    }

    fn del(&self, at: usize) -> usize {
        self.slices.release(&lease(at).container_id, &lease(at).ifname).unwrap()
    }

    /// What the claimer does, this much later.
    fn look(&mut self, after: Duration) {
        self.slices.look(Instant::now() + after, &mut self.diary);
    }

    fn usage(&self) -> Usage {
        self.slices.views().first().map(|view| view.usage).unwrap_or_default()
    }
}

fn open(dir: &TempDir, name: &str, api: &Arc<MemoryPools>, starts: u64) -> Slices {
    let seed = name.bytes().fold(starts, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    Slices::open_with(
        dir.path(),
        name,
        Arc::clone(api) as Arc<dyn PoolStore>,
        Dice::new(seed),
        Duration::ZERO,
    )
    .unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// How many slices of the pool `net` each node has, as the API server says it.
fn claimed_by(api: &MemoryPools, node: &str) -> usize {
    let content = api.content();
    content
        .slice_pools
        .get("net")
        .map_or(0, |pool| pool.slices.iter().filter(|slice| slice.node == node).count())
}

/// Writes a node's name into the entry of a slice, as somebody else would.
fn assign(api: &MemoryPools, range: &str, node: &str) {
    api.edit(|content| {
        let pool = content.slice_pools.get_mut("net").unwrap();
        let slice = pool.slices.iter_mut().find(|slice| slice.range == range).unwrap();
        *slice = Slice { node: node.into(), range: range.into() };
    });
}
