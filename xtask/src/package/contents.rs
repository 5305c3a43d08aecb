//! Which files of the checkout are shipped.

use std::process::Command;

use anyhow::Result;

use crate::paths::Workspace;
use crate::run;

/// Whether a file of the checkout goes into the archive: what people apply, build images from, and read. `deploy/check`
/// is our own.
pub(crate) fn is_shipped(path: &str) -> bool {
    let is_deploy = path.starts_with("deploy/") && !path.starts_with("deploy/check/");
    let is_text = path.starts_with("docs/") || ["LICENSE", "README.md", "CHANGELOG.md"].contains(&path);
    is_deploy || is_text
}

/// Those files, as git lists them: nothing that only lies around.
pub(super) fn files(workspace: &Workspace) -> Result<Vec<String>> {
    let mut list = Command::new("git");
    list.args(["ls-files", "-z"]).current_dir(workspace.root());
    let listing = run::output("list the checkout's files", &mut list)?;
    Ok(listing.split_terminator('\0').filter(|path| is_shipped(path)).map(str::to_owned).collect())
}
