//! Compiles kube-apiserver with Go alone: of all that Kubernetes' makefiles generate, one file is not in the source
//! package.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::debian::Archive;
use crate::run;

/// What the makefiles call the repository.
const REPOSITORY: &str = "k8s.io/kubernetes";
/// Where packages of other repositories live in it; `vendor` has links to them.
const STAGING: &str = "staging/src/";
/// Marks packages whose types are in the API's description.
const MARK: &str = "+k8s:openapi-gen=";
/// Marked packages of these repositories are examples, not the API.
const EXAMPLES: [&str; 2] = ["k8s.io/code-generator/", "k8s.io/sample-apiserver/"];
/// The package of the generated description.
const DESCRIPTION: &str = "pkg/generated/openapi";

/// A Go compiler, and Kubernetes' source in its workspace.
#[derive(Debug)]
pub(super) struct Compiler {
    go: PathBuf,
    staging: PathBuf,
    source: PathBuf,
}

impl Compiler {
    /// `go` is Go's own directory; `source` lies in `go/src/k8s.io/kubernetes` of the archive's staging directory.
    pub(super) fn new(archive: &Archive, go: PathBuf, source: PathBuf) -> Result<Self> {
        let staging = archive.staging().to_owned();
        // Intermediate files belong beneath the cache: the machine's /tmp may be small.
        let temporary = staging.join("go-tmp");
        fs::create_dir_all(&temporary).with_context(|| format!("cannot create {}", temporary.display()))?;
        Ok(Self { go, staging, source })
    }

    /// Compiles the API server into the file `into`, with `version` for what it says it is.
    pub(super) fn server(&self, into: &Path, version: &str) -> Result<()> {
        let generator = self.staging.join("openapi-gen");
        let what = "compile the generator of the API's description";
        run::with_progress(
            what,
            &mut self.build(&generator, "vendor/k8s.io/kube-openapi/cmd/openapi-gen", &[]),
        )?;
        let listing = run::output("find the API's packages", &mut self.marked_files())?;
        let packages = packages(&listing);
        if packages.is_empty() {
            bail!("the sources of kube-apiserver hold no file with {MARK}");
        }
        run::with_progress("generate the API's description", &mut self.describe(&generator, &packages))?;

        let variable = format!("{REPOSITORY}/vendor/k8s.io/component-base/version");
        let mut flags = vec!["-s".to_owned(), "-w".to_owned()];
        let (major, minor) = version.split_once('.').unwrap_or((version, ""));
        let minor = minor.split('.').next().unwrap_or_default();
        for (name, value) in [
            ("gitVersion", format!("v{version}").as_str()),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "archive"),
        ] {
            flags.push(format!("-X {variable}.{name}={value}"));
        }
        let what = format!("compile kube-apiserver {version} (some ten minutes, once)");
        run::with_progress(
            &what,
            &mut self.build(into, "cmd/kube-apiserver", &["-ldflags", &flags.join(" ")]),
        )
    }

    /// In the background of whatever else this machine does.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nice");
        command
            .arg(program)
            .current_dir(&self.source)
            .env("GOROOT", &self.go)
            .env("GOPATH", self.staging.join("go"))
            .env("GOCACHE", self.staging.join("go-cache"))
            .env("GOTMPDIR", self.staging.join("go-tmp"))
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            // No C: resolving and user names in Go's own way are enough for a test.
            .env("CGO_ENABLED", "0");
        command
    }

    fn build(&self, into: &Path, package: &str, options: &[&str]) -> Command {
        let mut command = self.command(&self.go.join("bin/go"));
        command.args(["build", "-trimpath"]).args(options).arg("-o").arg(into);
        command.arg(format!("{REPOSITORY}/{package}"));
        command
    }

    fn marked_files(&self) -> Command {
        let mut command = Command::new("grep");
        command.current_dir(&self.source);
        command.args(["-rl", "--include=*.go", "-F", MARK, STAGING, "pkg/apis"]);
        command
    }

    /// As `Makefile.generated_files` does it.
    fn describe(&self, generator: &Path, packages: &BTreeSet<String>) -> Command {
        let mut command = self.command(generator);
        let path = self.go.join("bin");
        let machine = std::env::var("PATH").unwrap_or_default();
        // The generator asks the compiler where packages are.
        command.env("PATH", format!("{}:{machine}", path.display()));
        command.arg("--logtostderr").arg("-i").arg(packages.iter().cloned().collect::<Vec<_>>().join(","));
        command.args(["-p", &format!("{REPOSITORY}/{DESCRIPTION}"), "-O", "zz_generated.openapi"]);
        command.args(["-h", "hack/boilerplate/boilerplate.generatego.txt", "-r"]);
        command.arg(self.staging.join("violations"));
        command
    }
}

/// Import paths of the packages of marked files.
fn packages(listing: &str) -> BTreeSet<String> {
    let of_api = |path: &&str| {
        let in_staging = path.strip_prefix(STAGING);
        !path.ends_with("_test.go")
            && !in_staging.is_some_and(|path| EXAMPLES.iter().any(|example| path.starts_with(example)))
    };
    let package = |path: &str| {
        let (directory, _) = path.rsplit_once('/')?;
        Some(match directory.strip_prefix(STAGING) {
            Some(vendored) => format!("{REPOSITORY}/vendor/{vendored}"),
            None => format!("{REPOSITORY}/{directory}"),
        })
    };
    listing.lines().filter(of_api).filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_file_stands_for_its_package_once() {
        let listing = "staging/src/k8s.io/api/core/v1/doc.go\nstaging/src/k8s.io/api/core/v1/types.go\n\
                       staging/src/k8s.io/sample-apiserver/pkg/doc.go\nstaging/src/k8s.io/api/x_test.go\n\
                       pkg/apis/abac/v0/types.go";
        let expected = ["k8s.io/kubernetes/pkg/apis/abac/v0", "k8s.io/kubernetes/vendor/k8s.io/api/core/v1"];
        assert_eq!(packages(listing), expected.map(str::to_owned).into());
    }
}
