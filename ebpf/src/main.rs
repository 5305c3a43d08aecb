//! One program per hook.
#![no_std]
#![no_main]
