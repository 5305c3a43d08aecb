//! Nouns of the data plane.
#![no_std]
