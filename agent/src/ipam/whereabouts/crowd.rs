//! How many others seem to take addresses of the same pool just now.

/// The guess grows no more after so many.
const MET_MAX: u32 = 11;
/// So many changes in a row without meeting anybody halve the guess.
const CALM: u32 = 4;

/// A guess that doubles with each further address that somebody else took first, and halves with time. Where nobody is met,
/// or one alone, it is one: the lowest address is taken, as the original does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    met: u32,
    calm: u32,
}

impl Crowd {
    /// From how many free addresses one is chosen.
    pub(super) fn places(self) -> u64 {
        1 << self.met.saturating_sub(1)
    }

    /// Somebody else had the address first.
    pub(super) fn met(&mut self) {
        self.met = (self.met + 1).min(MET_MAX);
        self.calm = 0;
    }

    /// A change was made at the first try.
    pub(super) fn passed(&mut self) {
        self.calm += 1;
        if self.calm >= CALM {
            self.met = self.met.saturating_sub(1);
            self.calm = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guess_grows_with_those_who_are_met_to_a_bound_and_shrinks_when_nobody_is() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.places(), 1);
        let grown: Vec<u64> = (0..14)
            .map(|_| {
                crowd.met();
                crowd.places()
            })
            .collect();
        assert_eq!(grown, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024]);
        for _ in 0..CALM * MET_MAX {
            crowd.passed();
        }
        assert_eq!(crowd, Crowd::default());
    }
}
