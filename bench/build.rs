//! Embeds the eBPF object that `cargo xtask build` leaves in the target directory.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let built = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?)
        .join("../target/bpf-measure");
    // Cargo watches a directory for what appears in it; a missing file would rebuild the crate every time.
    fs::create_dir_all(&built)?;
    println!("cargo::rerun-if-changed={}", built.display());
    let object = built.join("plexus-measure.o");
    println!("cargo::rerun-if-changed={}", object.display());
    let embedded = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?).join("plexus-measure.o");
    if object.exists() {
        fs::copy(&object, &embedded)?;
    } else {
        println!("cargo::warning=no eBPF object: packets cannot be measured; run `cargo xtask build`");
        fs::write(&embedded, [])?;
    }
    Ok(())
}
