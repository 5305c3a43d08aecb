//! The workers' queue: jobs first come, first served; idle workers last come, first called, because what the one that
//! ended last used is still in its caches.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs on their way to workers, at most a number of them waiting.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    waiting_max: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    idle: Vec<Arc<Seat<T>>>,
}

/// Where one worker waits. Each has its own, so that a job wakes one thread and no other.
pub struct Seat<T> {
    job: Mutex<Option<T>>,
    given: Condvar,
}

impl<T> Queue<T> {
    /// An empty queue in which `waiting_max` jobs may wait.
    pub fn new(waiting_max: usize) -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), idle: Vec::new() }), waiting_max }
    }

    /// Gives a job to an idle worker, or has it wait for one; a full queue gives it back.
    pub fn submit(&self, job: T) -> Result<(), T> {
        let mut state = self.lock();
        if let Some(seat) = state.idle.pop() {
            drop(state);
            seat.give(job);
            return Ok(());
        }
        if state.waiting.len() >= self.waiting_max {
            return Err(job);
        }
        state.waiting.push_back(job);
        Ok(())
    }

    /// The next job for the worker with this seat, waited for as long as there is none.
    pub fn next(&self, seat: &Arc<Seat<T>>) -> T {
        let mut state = self.lock();
        if let Some(job) = state.waiting.pop_front() {
            return job;
        }
        state.idle.push(Arc::clone(seat));
        drop(state);
        seat.take()
    }

    /// Jobs that wait for a worker.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Workers that wait for a job.
    pub fn idle(&self) -> usize {
        self.lock().idle.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Seat<T> {
    fn default() -> Self {
        Self { job: Mutex::new(None), given: Condvar::new() }
    }
}

impl<T> Seat<T> {
    fn give(&self, job: T) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
        self.given.notify_one();
    }

    fn take(&self) -> T {
        let mut slot = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = slot.take() {
                return job;
            }
            slot = self.given.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn jobs_wait_in_order_up_to_the_bound() {
        let queue = Queue::new(2);
        assert!(queue.submit(1).is_ok() && queue.submit(2).is_ok());
        assert_eq!((queue.submit(3), queue.waiting()), (Err(3), 2));
        let seat = Arc::default();
        assert_eq!((queue.next(&seat), queue.next(&seat), queue.waiting()), (1, 2, 0));
    }

    #[test]
    fn of_two_idle_workers_the_one_that_came_last_is_called() {
        let queue = Queue::new(1);
        let wait_for_idle = |count| {
            let deadline = Instant::now() + Duration::from_secs(20);
            while queue.idle() < count && Instant::now() < deadline {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| queue.next(&Arc::default()));
            wait_for_idle(1);
            let second = scope.spawn(|| queue.next(&Arc::default()));
            wait_for_idle(2);
            assert!(queue.submit("second").is_ok() && queue.submit("first").is_ok());
            assert_eq!((first.join().unwrap(), second.join().unwrap()), ("first", "second"));
        });
    }
}
