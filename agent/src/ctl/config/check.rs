//! `plexusctl config check`: reads the files, and prints what is to be said of them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use plexus_cni::lint::{Document, Finding, Severity, check};

use crate::config::{AgentConfig, Checked, read};
use crate::plugin::Builtin;

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most files.
const FILES_MAX: usize = 10_000;

/// The findings for these files; of a directory its YAML, JSON and CNI files are read, `-` is standard input.
pub(super) fn findings(paths: &[PathBuf]) -> anyhow::Result<Vec<Finding>> {
    let (mut documents, mut findings) = (Vec::new(), Vec::new());
    let files = files(paths)?;
    for path in &files {
        let file = path.display().to_string();
        let text = text(path).with_context(|| format!("cannot read {file}"))?;
        match read(&text) {
            Ok(read) if read.is_empty() => {
                findings.push(of_file(&file, "it is empty", "there is nothing to check"));
            }
            Ok(read) => documents.extend(read.into_iter().map(|document| Document {
                file: file.clone(),
                text: text.clone(),
                value: document.value,
                lines: document.lines,
            })),
            Err(error) => findings.push(Finding {
                line: error.position.map(|at| at.line),
                column: error.position.map(|at| at.column),
                severity: Severity::Error,
                ..of_file(&file, "it is neither YAML nor JSON", &error.why)
            }),
        }
    }
    let (own, documents): (Vec<_>, Vec<_>) =
        documents.into_iter().partition(|document| document.value["kind"] == "AgentConfig");
    for document in own {
        if let Checked::Wrong { position, why } = AgentConfig::check(&document.value, &document.lines) {
            findings.push(Finding {
                line: position.map(|at| at.line),
                column: position.map(|at| at.column),
                object: "AgentConfig".into(),
                severity: Severity::Error,
                action: "see docs/configuration.md, or `plexusctl config schema`".into(),
                ..of_file(&document.file, "plexusd does not take it", &why)
            });
        }
    }
    let builtin = Builtin {
        ipam_data_dirs: ["/var/lib/cni/networks", "/var/lib/cni", "/run/cni"].map(PathBuf::from).to_vec(),
    };
    findings.extend(check(&documents, &builtin));
    let order = |finding: &Finding| files.iter().position(|file| file.display().to_string() == finding.file);
    findings.sort_by_cached_key(|finding| (order(finding), finding.line));
    Ok(findings)
}

fn of_file(file: &str, what: &str, why: &str) -> Finding {
    Finding {
        file: file.to_owned(),
        line: None,
        column: None,
        object: "file".into(),
        severity: Severity::Warning,
        what: what.to_owned(),
        why: why.to_owned(),
        action: "correct the file, or leave it out".into(),
    }
}

/// The files that are meant, in order.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
        let mut inner: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        let is_read = |path: &PathBuf| {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            matches!(extension, "yaml" | "yml" | "json" | "conf" | "conflist")
        };
        inner.retain(|path| path.is_file() && is_read(path));
        inner.sort();
        files.extend(inner);
    }
    ensure!(files.len() <= FILES_MAX, "{} files are given, at most {FILES_MAX} are read", files.len());
    Ok(files)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    } else {
        fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    }
    ensure!(text.len() as u64 <= FILE_BYTES_MAX, "it has more than {FILE_BYTES_MAX} bytes");
    Ok(text)
}

/// The findings for eyes: the place first, as compilers print it, then why and what to do.
pub(super) fn render(findings: &[Finding]) -> String {
    let text = |finding: &Finding| {
        let place = match (finding.line, finding.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", finding.file),
            _ => finding.file.clone(),
        };
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let further = [&finding.why, &finding.action].into_iter().filter(|line| !line.is_empty());
        let further: String = further.flat_map(|line| ["    ", line, "\n"]).collect();
        format!("{place}: {severity}: {}: {}\n{further}", finding.object, finding.what)
    };
    let all: String = findings.iter().map(text).collect();
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    format!("{all}{errors} errors, {warnings} warnings, {notes} notes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file), text).unwrap();
        render(&findings(&[dir.path().to_owned()]).unwrap())
    }

    #[test]
    fn built_in_plugins_check_what_needs_no_kernel_and_name_the_line() {
        let plugins = r#"
        {"type": "macvlan", "mod": "bridge", "ipam": {"type": "host-local",
          "ranges": [[{"subnet": "10.0.0.0/33"}]]}},
        {"type": "bridge", "vlan": 5000, "mac": "x"},
        {"type": "fastpath", "vlan": 7},
        {"type": "bandwidth", "ingressRate": 1},
        {"type": "macvlan", "plexus": {"exce": true}},
        {"type": "macvlan", "ipam": {"type": "static"}},
        {"type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24", "dataDir": "/etc"}}"#;
        let config =
            format!("{{\"cniVersion\": \"1.0.0\", \"plugins\": [{plugins}]}}").replace('\n', "\n    ");
        let said = lines(
            "a.yaml",
            &format!(
                "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: a}}\nspec:\n  config: |\n    {config}\n"
            ),
        );
        for (line, part) in [
            (7, "warning"),
            (8, "ipam.ranges[0][0].subnet"),
            (9, "\"vlan\" is 5000"),
            (10, "uplink"),
            (11, "ingressRate"),
            (12, "plexus.exce"),
            (14, "/etc"),
        ] {
            let found = said
                .split("a.yaml:")
                .any(|said| said.starts_with(&format!("{line}:")) && said.contains(part));
            assert!(found, "{part} is not said of line {line}:\n{said}");
        }
        assert!(said.ends_with("6 errors, 1 warnings, 1 notes"), "{said}");
    }

    #[test]
    fn own_configs_and_broken_files_are_named_with_their_line() {
        assert!(
            lines("c.yaml", "apiVersion: plexus.dev/v1alpha1\nkind: AgentConfig\nworkerz: 3\n")
                .contains("c.yaml:3:1: error")
        );
        assert!(lines("b.conflist", "{\n \"a\": 1,\n}").contains("b.conflist:3:1: error"));
        assert!(lines("e.yaml", "# nothing\n").contains("warning"));
        assert_eq!(lines("readme.md", "{"), "0 errors, 0 warnings, 0 notes");
        assert!(findings(&["/nowhere".into()]).is_err());
    }

    #[test]
    fn the_examples_have_no_errors() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
        let found = findings(&[examples.clone(), examples.join("scenarios")]).unwrap();
        let wrong: Vec<_> = found.iter().filter(|finding| finding.severity != Severity::Note).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
