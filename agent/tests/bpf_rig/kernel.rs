//! Running programs on frames.
