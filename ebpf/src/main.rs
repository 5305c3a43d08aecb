//! One program per hook.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(unsafe_code, reason = "link sections of the entry points")]

#[cfg(target_arch = "bpf")]
mod hooks;

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
        "plexus-datapath runs in the kernel, not as a command\nit was built for the host\nrun `cargo xtask build`"
    );
    std::process::ExitCode::FAILURE
}
