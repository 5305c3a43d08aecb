//! Embeds the eBPF object that `cargo xtask build` leaves in the target directory.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=PLEXUS_BPF_OBJECT");
    let built =
        PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("../target/bpf");
    let object = if let Some(object) = env::var_os("PLEXUS_BPF_OBJECT") {
        PathBuf::from(object)
    } else {
        // Cargo watches a directory for what appears in it; a missing file would rebuild the crate every time.
        fs::create_dir_all(&built)?;
        println!("cargo::rerun-if-changed={}", built.display());
        built.join("plexus-datapath.o")
    };
    println!("cargo::rerun-if-changed={}", object.display());
    let embedded = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?).join("plexus-datapath.o");
    if object.exists() {
        fs::copy(&object, &embedded)?;
    } else {
        println!(
            "cargo::warning=no eBPF object: the data plane will refuse to open; run `cargo xtask build`"
        );
        fs::write(&embedded, [])?;
    }
    Ok(())
}
