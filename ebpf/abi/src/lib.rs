//! Map keys and values that the kernel and the agent share.
#![no_std]
