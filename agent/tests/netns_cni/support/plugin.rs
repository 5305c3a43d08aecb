//! Foreign plugins: a few lines of shell, and the calls that they saw.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A plugin that was written for one test.
pub(crate) struct Script {
    log: PathBuf,
}

/// One call that a plugin saw.
pub(crate) struct Seen {
    /// `CNI_COMMAND`
    pub(crate) command: String,
    /// `CNI_ARGS`
    pub(crate) args: String,
    /// The config on stdin.
    pub(crate) config: Value,
}

impl Script {
    /// Writes the plugin `name`: it notes its call, then does what `body` says. `$config` holds its input.
    pub(crate) fn write(dir: &Path, name: &str, body: &str) -> Self {
        let (path, log) = (dir.join(name), dir.join(format!("{name}.log")));
        let text = format!(
            "#!/bin/sh\nconfig=$(cat)\nprintf '%s\\t%s\\t%s\\n' \"$CNI_COMMAND\" \"$CNI_ARGS\" \"$config\" >> {}\n{body}\n",
            log.display()
        );
        // Written aside and renamed, so that a running one is replaced as a package manager does it.
        let draft = dir.join(format!(".{name}"));
        fs::write(&draft, text).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&draft, &path).unwrap();
        Self { log }
    }

    /// Its calls so far.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let read = |line: &str| {
            let mut parts = line.splitn(3, '\t');
            let mut part = || parts.next().unwrap().to_owned();
            Seen { command: part(), args: part(), config: serde_json::from_str(&part()).unwrap() }
        };
        text.lines().map(read).collect()
    }

    /// The verbs of its calls so far.
    pub(crate) fn verbs(&self) -> Vec<String> {
        self.calls().into_iter().map(|seen| seen.command).collect()
    }
}

/// Prints a result with this address on ADD and nothing on other verbs.
pub(crate) fn ipam_body(address: &str) -> String {
    format!(
        r#"[ "$CNI_COMMAND" = ADD ] && printf '{{"cniVersion":"1.1.0","ips":[{{"address":"{address}"}}]}}'; exit 0"#
    )
}

/// Prints the result of the chain so far on ADD, as a chained plugin without a wish of its own.
pub(crate) const PASS_ON: &str =
    r#"[ "$CNI_COMMAND" = ADD ] && printf '%s' "$config" | sed 's/.*"prevResult":\({.*}\)}$/\1/'; exit 0"#;
/// Fails on ADD with an error object of its own.
pub(crate) const REFUSE_ADD: &str = r#"[ "$CNI_COMMAND" = ADD ] || exit 0
printf '{"cniVersion":"1.1.0","code":777,"msg":"no luck","details":"on purpose"}'; exit 1"#;
