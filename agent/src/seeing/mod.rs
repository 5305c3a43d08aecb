//! Single frames for people: samples of drops, and captures.
//!
//! ```text
//! programs ──▶ ring ──▶ reader ──▶ bounded queue of each follower ──▶ its connection ──▶ plexusctl
//! ```
//! The reader is a thread that lives while anybody looks. It also counts the windows from which the programs' budgets
//! come: when this process dies no window follows, and the programs write nothing more. A follower that is slow loses
//! frames of its own queue, which are counted; nobody waits for it.

mod capture;
mod drops;
pub mod filter;
pub mod packet;
mod port;
mod reader;
mod stream;

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plexus_cni::wire::Follow;
use plexus_cni::{CniError, Code};

use crate::agent::Agent;
use crate::datapath::Seen;

/// Connections that follow at once.
const FOLLOWERS_MAX: usize = 16;
/// Events that wait for one follower.
const QUEUE_MAX: usize = 1024;

/// What a follower hears.
#[derive(Clone)]
enum Event {
    /// A frame.
    Seen(Arc<Seen>),
    /// Drops of which there is no sample.
    Suppressed(u64),
}

/// What a follower wants to hear.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Samples of drops.
    Drops,
    /// The capture of this port.
    Capture(u32),
}

/// Who follows.
#[derive(Default)]
pub struct Seeing {
    state: Mutex<State>,
    has_ended: AtomicBool,
}

#[derive(Default)]
struct State {
    followers: Vec<Follower>,
    /// Whether the thread that reads the ring runs.
    is_reading: bool,
    last_id: u64,
}

struct Follower {
    id: u64,
    wish: Wish,
    queue: SyncSender<Event>,
    missed: Arc<AtomicU64>,
}

/// A follower's end of its queue; dropping it leaves.
struct Seat {
    seeing: Arc<Seeing>,
    id: u64,
    events: Receiver<Event>,
    /// Events that found the queue full.
    missed: Arc<AtomicU64>,
}

/// Serves one connection until either side leaves; blocks.
pub fn serve(agent: &Arc<Agent>, stream: UnixStream, follow: &Follow) -> Result<(), CniError> {
    match follow {
        Follow::Drops { pod } => drops::serve(agent, stream, pod.as_deref()),
        Follow::Capture(call) => capture::serve(agent, stream, call),
    }
}

impl Seeing {
    /// Ends every connection that follows, and the reader.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat; the first one starts the reader.
    fn join(self: &Arc<Self>, agent: &Agent, wish: Wish) -> Result<Seat, CniError> {
        let mut state = self.lock();
        if state.followers.len() >= FOLLOWERS_MAX {
            return Err(CniError::new(Code::TryAgain, format!("{FOLLOWERS_MAX} connections follow frames"))
                .because("end one of them first"));
        }
        let (queue, events) = sync_channel(QUEUE_MAX);
        let missed = Arc::new(AtomicU64::new(0));
        state.last_id += 1;
        let id = state.last_id;
        state.followers.push(Follower { id, wish, queue, missed: Arc::clone(&missed) });
        if state.is_reading {
            drop(state);
            // The next window is for this follower too.
            std::thread::sleep(reader::WINDOW);
        } else if let Err(error) = self.start(agent, &mut state) {
            state.followers.clear();
            return Err(error);
        }
        Ok(Seat { seeing: Arc::clone(self), id, events, missed })
    }
}

impl Seeing {
    /// Opens the first window and starts the reader.
    fn start(self: &Arc<Self>, agent: &Agent, state: &mut State) -> Result<(), CniError> {
        let mut sight = agent.datapath.sight()?;
        sight.discard();
        // From here on nothing is missed.
        sight.open_window(reader::limits(state))?;
        reader::start(self, sight)?;
        state.is_reading = true;
        Ok(())
    }
}

impl State {
    /// Gives an event to everybody who wishes for it; full queues lose it.
    fn tell(&self, event: &Event) {
        for follower in &self.followers {
            let is_wished = match (follower.wish, event) {
                (Wish::Drops, Event::Seen(seen)) => !seen.is_capture,
                (Wish::Drops, Event::Suppressed(_)) => true,
                (Wish::Capture(port), Event::Seen(seen)) => seen.is_capture && seen.port == port,
                (Wish::Capture(_), Event::Suppressed(_)) => false,
            };
            if is_wished && matches!(follower.queue.try_send(event.clone()), Err(TrySendError::Full(_))) {
                follower.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seeing.lock().followers.retain(|follower| follower.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(state: &mut State, wish: Wish) -> (Receiver<Event>, Arc<AtomicU64>) {
        let (queue, events) = sync_channel(2);
        let missed = Arc::new(AtomicU64::new(0));
        state.followers.push(Follower { id: 0, wish, queue, missed: Arc::clone(&missed) });
        (events, missed)
    }

    fn seen(port: u32, is_capture: bool) -> Event {
        Event::Seen(Arc::new(Seen {
            unix_ns: 0,
            is_capture,
            port,
            is_from_pod: true,
            reason: None,
            frame_bytes: 0,
            bytes: Vec::new(),
        }))
    }

    #[test]
    fn everybody_hears_what_they_wish_and_a_full_queue_delays_nobody() {
        let mut state = State::default();
        let (drops, missed) = follower(&mut state, Wish::Drops);
        let (capture, _) = follower(&mut state, Wish::Capture(7));
        state.tell(&seen(7, true));
        state.tell(&seen(8, true));
        for _ in 0..5 {
            state.tell(&seen(7, false));
        }
        state.tell(&Event::Suppressed(9));
        assert_eq!(capture.try_iter().count(), 1);
        assert_eq!(drops.try_iter().count(), 2);
        assert_eq!(missed.load(Ordering::Relaxed), 4);
    }
}
