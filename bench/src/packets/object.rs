//! The eBPF object with the programs that measure.

use anyhow::{Context as _, Result, ensure};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode, tc::qdisc_add_clsact};
use aya::{Ebpf, EbpfLoader};

/// Empty if this build carries none.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/plexus-measure.o"));

/// A copy of the object with maps of its own; what it attaches is detached when it is dropped.
pub(super) fn load() -> Result<Ebpf> {
    ensure!(!OBJECT.is_empty(), "this build carries no eBPF object: run `cargo xtask build` and build again");
    // The object has no relocations against the kernel's types, which take long to parse.
    EbpfLoader::new().btf(None).load(OBJECT).context("cannot load the programs that measure")
}

/// Loads the XDP program `name`.
pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
    let program: &mut Xdp = program.try_into()?;
    program.load().with_context(|| format!("the kernel refused the program {name}"))?;
    Ok(program)
}

/// Attaches the XDP program `name` to a device of the thread's network namespace.
pub(super) fn attach_xdp(ebpf: &mut Ebpf, name: &str, device: &str, mode: XdpMode) -> Result<()> {
    let program = xdp(ebpf, name)?;
    program.attach(device, mode).with_context(|| format!("cannot attach {name} to {device}"))?;
    Ok(())
}

/// Attaches the classifier `name` to the ingress of a device of the thread's network namespace.
pub(super) fn attach_tc(ebpf: &mut Ebpf, name: &str, device: &str) -> Result<()> {
    let program = classifier(ebpf, name)?;
    // Needed where there is no tcx, and there already where Plexus has a gate; attaching says what is wrong.
    qdisc_add_clsact(device).unwrap_or_default();
    program
        .attach(device, TcAttachType::Ingress)
        .with_context(|| format!("cannot attach {name} to {device}"))?;
    Ok(())
}

/// Loads the classifier `name`.
pub(super) fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
    let program: &mut SchedClassifier = program.try_into().map_err(|error: ProgramError| error)?;
    program.load().with_context(|| format!("the kernel refused the program {name}"))?;
    Ok(program)
}
