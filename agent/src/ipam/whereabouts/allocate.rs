//! ADD: one address of each range.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use plexus_cni::json::Object;
use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, Code};

use super::cluster::Cluster;
use super::config::{Config, Part};
use super::exhausted::exhausted;
use super::reservation::{self, Reserved};
use super::shared::{Claim, Outcome, SharedPool};
use super::wish::Wish;
use super::{choose, names, release};
use crate::cluster::{Allocation, ApiError, IpPool};
use crate::ipam::{IpamRequest, IpamResult};

/// Most addresses that are tried for one range: each one before the last was another's.
const TRIES: usize = 512;
/// Time that is left for undoing and answering.
const MARGIN: Duration = Duration::from_secs(5);
/// How long undoing may take.
const UNDO_MAX: Duration = Duration::from_secs(3);

/// Allocates one address of each range, in the config's order, and appends the static ones. On failure what this call
/// may have taken is released, now or later.
pub(in crate::ipam) fn add(request: &IpamRequest) -> Result<IpamResult, CniError> {
    let mut config = Config::of(request)?;
    let cluster = request.cluster()?;
    let holder = holder(request)?;
    let deadline = request.deadline.checked_sub(MARGIN).unwrap_or(request.deadline);
    if config.overlapping {
        keep_off_slices(cluster, &mut config, deadline)?;
    }
    // A kept release of this interface must not free what is given now.
    release::finish(cluster, request.container_id, request.ifname, deadline)?;
    let mut taker = Taker {
        cluster,
        config: &config,
        holder,
        deadline,
        given: Vec::new(),
        is_begun: false,
        is_doubtful: false,
        reservations: Vec::new(),
    };
    for part in &config.parts {
        match taker.take(part) {
            Ok(address) => taker.given.push(address),
            Err(error) => return Err(taker.undo(request, error)),
        }
    }
    let mut ips: Vec<IpConfig> = config
        .parts
        .iter()
        .zip(&taker.given)
        .map(|(part, address)| ip_config(&config, part, *address))
        .collect();
    cluster.note_allocated(taker.given.len());
    ips.extend(config.addresses.iter().cloned());
    Ok(IpamResult { ips, routes: config.routes, dns: config.dns })
}

/// Takes out of the ranges what nodes in fast mode have claimed: every address of a slice is its node's to give.
fn keep_off_slices(cluster: &Cluster, config: &mut Config, deadline: Instant) -> Result<(), CniError> {
    let claimed = cluster.claimed.ranges(&*cluster.store, &config.network_name, deadline);
    cluster.note(&claimed);
    for slice in claimed? {
        for part in &mut config.parts {
            part.range.exclude(slice);
            if let Some(wanted) = part.wanted.filter(|wanted| slice.contains(wanted)) {
                return Err(held_by(wanted, &format!("a node, with the whole slice {slice}")));
            }
        }
    }
    Ok(())
}

/// Who asks: the runtime must have named the pod.
fn holder(request: &IpamRequest) -> Result<Allocation, CniError> {
    let (namespace, name) = request.args.pod().ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "whereabouts needs to know the pod")
            .because("the runtime gave no K8S_POD_NAMESPACE and K8S_POD_NAME in CNI_ARGS")
    })?;
    Ok(Allocation {
        id: request.container_id.to_owned(),
        podref: format!("{namespace}/{name}"),
        ifname: request.ifname.to_owned(),
    })
}

/// One ADD under way.
struct Taker<'a> {
    cluster: &'a Cluster,
    config: &'a Config,
    holder: Allocation,
    deadline: Instant,
    given: Vec<IpAddr>,
    /// Whether anything was asked to be changed.
    is_begun: bool,
    /// Whether a request that nobody heard the end of may still take effect.
    is_doubtful: bool,
    /// Names of reservations that may have been made.
    reservations: Vec<String>,
}

impl Taker<'_> {
    fn take(&mut self, part: &Part) -> Result<IpAddr, CniError> {
        let shared = self.cluster.pool(&part.pool, part.range.network);
        let wanted = part.wanted.and_then(|address| part.range.offset(address));
        let mut avoid: BTreeSet<u128> =
            self.given.iter().filter_map(|address| part.range.offset(*address)).collect();
        let mut since = None;
        for _ in 0..TRIES {
            if Instant::now() >= self.deadline {
                break;
            }
            let pool = self.look(&shared, since)?;
            let claim = match self.choose(&shared, part, &pool, wanted, &avoid) {
                Ok(claim) => claim,
                Err(error) if since.is_some() => return Err(error),
                // Only what is known for sure counts against the pod.
                Err(_) => {
                    since = Some(Instant::now());
                    continue;
                }
            };
            let Some(address) = part.range.address(claim.offset) else { break };
            match self.hold(&shared, address, claim.offset)? {
                None => return Ok(address),
                Some(other) if wanted.is_some() => return Err(held_by(address, &other)),
                Some(_) => drop(avoid.insert(claim.offset)),
            }
        }
        Err(CniError::new(Code::TryAgain, format!("no address of range {} could be had in time", part.range))
            .because("others were quicker again and again; the runtime tries again"))
    }

    /// The address that is wanted, that the interface has already, or the next free one.
    fn choose<'b>(
        &self,
        shared: &'b SharedPool,
        part: &Part,
        pool: &IpPool,
        wanted: Option<u128>,
        avoid: &BTreeSet<u128>,
    ) -> Result<Claim<'b>, CniError> {
        let range = &part.range;
        let own = || choose::own(range, &pool.allocations, &self.holder, avoid);
        if let Some(offset) = wanted.or_else(own) {
            if let Some(held) = pool.allocations.get(&offset)
                && (held.podref != self.holder.podref || held.ifname != self.holder.ifname)
                && let Some(address) = range.address(offset)
            {
                return Err(held_by(address, &text_of(held)));
            }
            return shared.claim_this(offset).ok_or_else(|| {
                CniError::new(Code::TryAgain, "another call is about to take the same address")
                    .because("the runtime tries again")
            });
        }
        let is_in_range = |offset: &&u128| range.gives(**offset) && !pool.allocations.contains_key(offset);
        let elsewhere = avoid.iter().filter(is_in_range).count();
        shared.claim(pool, range, avoid).ok_or_else(|| exhausted(range, pool, elsewhere))
    }

    /// Reserves the address and takes it in the pool; says whose it is, if another's.
    fn hold(
        &mut self,
        shared: &SharedPool,
        address: IpAddr,
        offset: u128,
    ) -> Result<Option<String>, CniError> {
        let name = names::reservation(&self.config.network_name, address);
        self.is_begun = true;
        if self.config.overlapping {
            if !names::is_valid(&name) {
                return Err(CniError::new(Code::InvalidConfig, format!("{address} cannot be reserved"))
                    .because(format!(
                        "{name:?} is no name that the API server takes; exclude it from the range"
                    )));
            }
            self.reservations.push(name.clone());
            match self.asked(reservation::take(self.cluster, &name, &self.holder, self.deadline))? {
                Reserved::Ours => {}
                Reserved::Others(other) => {
                    self.reservations.pop();
                    shared.pass_over(offset);
                    return Ok(Some(format!("pod {} interface {:?}", other.podref, other.ifname)));
                }
            }
        }
        let wish = Wish::Hold { offset, holder: self.holder.clone() };
        match self.asked(shared.make(&*self.cluster.store, wish, self.deadline))? {
            Outcome::Granted => Ok(None),
            Outcome::Lost(other) => {
                if self.config.overlapping {
                    self.asked(reservation::give_back(self.cluster, &name, &self.holder, self.deadline))?;
                    self.reservations.pop();
                }
                Ok(Some(text_of(&other)))
            }
        }
    }

    fn look(&self, shared: &SharedPool, since: Option<Instant>) -> Result<Arc<IpPool>, CniError> {
        let found = self.noted(shared.look(&*self.cluster.store, since, self.deadline))?;
        Ok(found.unwrap_or_else(|| IpPool { name: shared.name().to_owned(), ..IpPool::default() }.into()))
    }

    fn noted<T>(&self, outcome: Result<T, ApiError>) -> Result<T, CniError> {
        self.cluster.note(&outcome);
        outcome.map_err(CniError::from)
    }

    /// As `noted`, for what was to be changed: without an answer it may be done all the same, now or in a while.
    fn asked<T>(&mut self, outcome: Result<T, ApiError>) -> Result<T, CniError> {
        self.is_doubtful |= outcome.as_ref().is_err_and(|error| error.kind.is_passing());
        self.noted(outcome)
    }

    /// Releases what was or may have been taken.
    fn undo(&self, request: &IpamRequest, error: CniError) -> CniError {
        if !self.is_begun {
            return error;
        }
        let mut release = release::of(request, self.config, self.reservations.clone());
        if self.is_doubtful {
            release = release.after_requests_in_flight(SystemTime::now());
        }
        match release::now_or_later(self.cluster, &release, Instant::now() + UNDO_MAX) {
            Ok(()) => error,
            Err(second) => {
                let details = format!("{}; undoing it failed too: {second}", error.details);
                error.because(details)
            }
        }
    }
}

fn held_by(address: IpAddr, holder: &str) -> CniError {
    CniError::new(Code::AddressUnavailable, format!("requested address {address} cannot be given"))
        .because(format!("it is held by {holder}"))
}

fn text_of(holder: &Allocation) -> String {
    format!("pod {} interface {:?}, container {}", holder.podref, holder.ifname, holder.id)
}

pub(super) fn ip_config(config: &Config, part: &Part, address: IpAddr) -> IpConfig {
    // The prefix length belongs to a network of the same family, so it fits.
    let net = IpNet::new(address, part.range.network.prefix_len()).unwrap_or(IpNet::from(address));
    let gateway = config.gateway.filter(|gateway| gateway.is_ipv4() == address.is_ipv4());
    IpConfig { address: net, gateway, interface: None, extra: Object::new() }
}
