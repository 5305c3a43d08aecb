//! The thread that empties the ring while anybody looks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plexus_cni::{CniError, Code};

use super::{Event, Seeing, State, Wish};
use crate::datapath::{Limits, Result, Seen, Sight};

/// How long a window is: the programs' budgets are per window and CPU.
pub(super) const WINDOW: Duration = Duration::from_millis(100);
/// Samples of drops: 640 a second and CPU, which is less than a thousandth of what a CPU can drop.
const SAMPLES: u32 = 64;
/// Frames of a capture: 20,000 a second and CPU.
const FRAMES: u32 = 2_000;
/// Bytes of a capture: 10 MiB a second and CPU.
const BYTES: u32 = 1 << 20;
/// Frames that are taken out of the ring before they are handed on.
const BATCH: usize = 256;
/// How often drops without a sample are told.
const TELL: Duration = Duration::from_secs(1);

/// What a CPU may write in a window for those who follow.
pub(super) fn limits(state: &State) -> Limits {
    let has = |wanted: fn(Wish) -> bool| state.followers.iter().any(|follower| wanted(follower.wish));
    let (has_drops, has_captures) =
        (has(|wish| wish == Wish::Drops), has(|wish| matches!(wish, Wish::Capture(_))));
    Limits {
        samples: if has_drops { SAMPLES } else { 0 },
        frames: if has_captures { FRAMES } else { 0 },
        bytes: BYTES,
    }
}

/// Starts the thread.
pub(super) fn start(seeing: &Arc<Seeing>, sight: Sight) -> std::result::Result<(), CniError> {
    let seeing = Arc::clone(seeing);
    let spawned =
        std::thread::Builder::new().name("seeing".into()).spawn(move || read_to_the_end(&seeing, sight));
    spawned
        .map(drop)
        .map_err(|error| CniError::new(Code::Io, "cannot start to read the ring").because(error.to_string()))
}

fn read_to_the_end(seeing: &Seeing, mut sight: Sight) {
    let Err(error) = read(seeing, &mut sight) else { return };
    tracing::error!(%error, "frames cannot be read; those who follow hear nothing more");
    let mut state = seeing.lock();
    // Without their queues the followers end.
    state.followers.clear();
    state.is_reading = false;
    if let Err(error) = sight.close() {
        tracing::error!(%error, "the programs could not be told that nobody looks; they stop by themselves");
    }
}

/// Reads until nobody follows.
fn read(seeing: &Seeing, sight: &mut Sight) -> Result<()> {
    let mut suppressed = sight.suppressed()?;
    let mut told = Instant::now();
    let mut next_window = Instant::now();
    loop {
        if Instant::now() >= next_window {
            next_window = Instant::now() + WINDOW;
            let mut state = seeing.lock();
            if state.followers.is_empty() || seeing.has_ended() {
                state.followers.clear();
                state.is_reading = false;
                // Under the lock, so that it does not end what the next follower begins.
                return sight.close();
            }
            let limits = limits(&state);
            drop(state);
            sight.open_window(limits)?;
        }
        if let Err(error) = sight.wait(next_window.saturating_duration_since(Instant::now())) {
            tracing::warn!(%error, "cannot wait for frames");
            std::thread::sleep(WINDOW);
        }
        let batch: Vec<Seen> = sight.take(BATCH);
        if told.elapsed() >= TELL {
            told = Instant::now();
            let now = sight.suppressed()?;
            let count = now.saturating_sub(std::mem::replace(&mut suppressed, now));
            if count > 0 {
                seeing.lock().tell(&Event::Suppressed(count));
            }
        }
        let state = seeing.lock();
        for seen in batch {
            state.tell(&Event::Seen(Arc::new(seen)));
        }
    }
}
