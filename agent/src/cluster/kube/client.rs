//! From a kubeconfig or the service account to a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// A connection must stand within this time.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// A client with what `kubeconfig` holds now, or with the service account of the pod that this process runs in. A token
/// that lies in a file is read again each minute by the client itself.
pub(super) async fn connect(kubeconfig: Option<PathBuf>) -> anyhow::Result<kube::Client> {
    let mut config = match &kubeconfig {
        Some(path) => from_file(path).await?,
        None => Config::incluster()
            .context("the service account of this pod cannot be used; is its token mounted? (automountServiceAccountToken)")?,
    };
    config.connect_timeout = Some(CONNECT_WAIT);
    // Who calls knows better what is worth trying again, and until when.
    config.default_retry = false;
    let server = config.cluster_url.clone();
    kube::Client::try_from(config).with_context(|| format!("no client can be made for {server}"))
}

async fn from_file(path: &Path) -> anyhow::Result<Config> {
    let what = || format!("kubeconfig {} cannot be used", path.display());
    let kubeconfig = Kubeconfig::read_from(path).with_context(what)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(path: &Path) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = runtime.block_on(connect(Some(path.to_owned())));
        made.map(drop).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_kubeconfig_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        for text in [None, Some("{"), Some("current-context: x\n")] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = outcome(&path).unwrap_err();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_kubeconfig_with_a_token_file_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let (path, token) = (dir.path().join("kubeconfig"), dir.path().join("token"));
        std::fs::write(&token, "t").unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:1'}}}}]\n\
             users: [{{name: u, user: {{tokenFile: {}}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
            token.display()
        );
        std::fs::write(&path, text).unwrap();
        outcome(&path).unwrap();
    }
}
