//! The host on which the arms take turns.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use plexus_agent::lab::manifests::write_pod;
use plexus_agent::lab::{Binaries, DaemonSetup, Host, NetNs, Plexusd, Pod, Runtime};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::arm::{Arm, IFNAME, PluginArm};
use super::config;
use super::floor::Floor;
use crate::args::CniOptions;
use crate::environment::file_system;

/// The parent of every macvlan.
pub(super) const PARENT: &str = "uplink0";

/// A host with a cable, plexusd running on it, state on a real file system.
pub(super) struct Stage {
    // In this order: plexusd ends before its host, the host before its directory.
    pub(super) plexusd: Plexusd,
    pub(super) binaries: Binaries,
    _wire_end: NetNs,
    pub(super) host: Host,
    work_dir: TempDir,
}

impl Stage {
    /// Enters a new host and starts plexusd there.
    pub(super) fn build(options: &CniOptions) -> Result<Self> {
        let binaries = match &options.common.bin_dir {
            Some(dir) => Binaries::at(dir)?,
            None => Binaries::find()?,
        };
        let parent_dir = options.work_dir.clone().unwrap_or_else(std::env::temp_dir);
        let work_dir = tempfile::Builder::new().prefix("plexus-bench.").tempdir_in(&parent_dir);
        let work_dir =
            work_dir.with_context(|| format!("cannot make a directory in {}", parent_dir.display()))?;
        let host = Host::enter()?;
        host.keep_state_in(work_dir.path())?;
        let wire_end = host.netns_named("wire-end")?;
        host.cable(PARENT, &wire_end, "eth0")?;
        let plexusd = DaemonSetup::new(&host, &binaries).start()?;
        Ok(Self { plexusd, binaries, _wire_end: wire_end, host, work_dir })
    }

    /// Attaches the pod that stays for the whole run: the measured ones are not the node's first.
    pub(super) fn settle(&self) -> Result<Resident> {
        let resident = Resident {
            runtime: self.shim(),
            pod: self.host.pod("resident")?,
            config: config::macvlan("bench-resident", 7),
        };
        let added = resident.runtime.add(&resident.pod, IFNAME, &resident.config)?;
        added.success().context("the resident pod cannot be attached")?;
        Ok(resident)
    }

    /// All arms that this machine and the options allow; the reference is mandatory.
    pub(super) fn arms(&self, options: &CniOptions) -> Result<Vec<Box<dyn Arm>>> {
        let pod = |name: &str| self.host.pod(name);
        let known_pod = pod("plexus-meta")?;
        write_pod(&self.host.manifests_dir(), &known_pod, "")?;
        let mut arms: Vec<Box<dyn Arm>> = vec![
            Box::new(Floor::new(PARENT, pod("floor")?.netns)?),
            Box::new(PluginArm::new(
                "plexus",
                self.shim(),
                pod("plexus")?,
                config::macvlan("bench-plexus", 1),
            )),
            Box::new(PluginArm::new(
                "reference",
                reference(options)?,
                pod("reference")?,
                config::macvlan("bench-reference", 2),
            )),
            Box::new(PluginArm::new(
                "plexus_meta",
                self.shim(),
                known_pod,
                config::meta(&self.host, &config::macvlan("bench-plexus-meta", 3)),
            )),
        ];
        if let Some(dir) = &options.multus_bin {
            let plugin = dir.join("multus");
            ensure!(
                plugin.is_file(),
                "--multus-bin {}: no file `multus` in it; give the thin plugin's directory",
                dir.display()
            );
            let config =
                config::multus(&options.reference_bin, &self.host, &config::macvlan("bench-multus", 4));
            arms.push(Box::new(PluginArm::new(
                "multus",
                Runtime::of_plugin(&plugin),
                pod("multus")?,
                config,
            )));
        }
        Ok(arms)
    }

    /// The shim as a runtime calls it.
    pub(super) fn shim(&self) -> Runtime {
        Runtime::new(&self.host, &self.binaries)
    }

    /// What else a reader must know.
    pub(super) fn conditions(&self, options: &CniOptions) -> Result<BTreeMap<&'static str, Value>> {
        Ok(BTreeMap::from([
            ("rounds", json!(options.rounds)),
            ("bursts", json!(options.bursts)),
            ("resident_pods", json!(1)),
            ("parent_link", json!("veth")),
            ("state_file_system", json!(file_system(self.work_dir.path()))),
            ("reference", json!(version_of(&options.reference_bin.join("macvlan"))?)),
        ]))
    }
}

/// A pod that stays attached.
pub(super) struct Resident {
    runtime: Runtime,
    pod: Pod,
    config: Value,
}

impl Resident {
    /// Detaches it: plexusd then leaves nothing.
    pub(super) fn leave(self) -> Result<()> {
        let outcome = self.runtime.del(&self.pod, IFNAME, &self.config)?;
        outcome.success().context("the resident pod cannot be detached")?;
        Ok(())
    }
}

/// The reference plugin, executed directly as a container runtime does.
pub(super) fn reference(options: &CniOptions) -> Result<Runtime> {
    for name in ["macvlan", "host-local"] {
        let path: PathBuf = options.reference_bin.join(name);
        ensure!(
            path.is_file(),
            "the reference plugin {} is missing: `apt-get install containernetworking-plugins`, or give --reference-bin",
            path.display()
        );
    }
    Ok(Runtime::of_plugin(&options.reference_bin.join("macvlan")))
}

/// What a plugin of the CNI project says about itself when it is called without a command.
fn version_of(plugin: &std::path::Path) -> Result<String> {
    let output = std::process::Command::new(plugin)
        .env_clear()
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("cannot execute the reference plugin {}", plugin.display()))?;
    let said = [output.stderr, output.stdout].concat();
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown").trim().to_owned())
}
