//! Links of the calling thread's network namespace, by iproute2: the lab checks our netlink code, so it does not use it.

use std::process::Command;

use nix::net::if_::if_nameindex;

use super::LabError;
use super::command::run;

/// Runs `ip ARGUMENTS` in the calling thread's network namespace.
pub fn ip(arguments: &[&str]) -> Result<(), LabError> {
    run(Command::new("ip").args(arguments)).map(drop)
}

/// Names of the interfaces in the calling thread's network namespace, sorted.
pub fn interface_names() -> Result<Vec<String>, LabError> {
    let all = if_nameindex().map_err(LabError::io("list the interfaces"))?;
    let mut names: Vec<_> = all.iter().map(|one| one.name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
