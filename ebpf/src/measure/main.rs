//! Programs of the benchmarks, one per file: what makes packets, what counts them away, the least that
//! forwards or hands over, and single steps of the data plane on their own.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(unsafe_code, reason = "link sections of the entry points, packet access")]
#![allow(clippy::needless_pass_by_value, reason = "the entry point macros hand the context over by value")]
#![allow(clippy::inline_always, reason = "a BPF call forgets what the verifier knew")]

#[cfg(target_arch = "bpf")]
mod call_nothing;
#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
mod count_once;
#[cfg(target_arch = "bpf")]
mod generate;
#[cfg(target_arch = "bpf")]
mod look_up;
#[cfg(target_arch = "bpf")]
mod nothing;
#[cfg(target_arch = "bpf")]
mod read_clock;
#[cfg(target_arch = "bpf")]
mod redirect_devmap;
#[cfg(target_arch = "bpf")]
mod redirect_peer;
#[cfg(target_arch = "bpf")]
mod redirect_xsk;
#[cfg(target_arch = "bpf")]
mod sink_tc;
#[cfg(target_arch = "bpf")]
mod sink_xdp;

/// The kernel reads this: "GPL" in it permits every helper.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Nothing here panics; the linker discards this.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "plexus-measure runs in the kernel, not as a command\nit was built for the host\nrun `cargo xtask build`"
    );
    std::process::ExitCode::FAILURE
}
