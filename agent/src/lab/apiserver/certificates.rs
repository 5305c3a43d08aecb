//! Keys and certificates of the API server, and kubeconfigs that trust them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::super::LabError;
use super::process::HOST;

/// Files beneath the API server's directory.
pub(super) const SERVER_CERTIFICATE: &str = "server.crt";
pub(super) const SERVER_KEY: &str = "server.key";
pub(super) const ACCOUNT_KEY: &str = "account.key";
pub(super) const ACCOUNT_PUBLIC_KEY: &str = "account.pub";
const AUTHORITY: &str = "ca.crt";

/// Where the certificate of the authority is.
#[derive(Debug)]
pub(super) struct Certificates {
    /// The authority that signed the server's certificate.
    pub(super) authority: PathBuf,
}

impl Certificates {
    /// Makes an authority, a certificate of the server, and the key that signs tokens of service accounts.
    pub(super) fn write(dir: &Path) -> Result<Self, LabError> {
        let made = Made::new().map_err(|error| LabError::Unexpected {
            what: "making certificates".into(),
            expected: "keys and certificates".into(),
            seen: error.to_string(),
        })?;
        for (name, text) in [
            (AUTHORITY, made.authority),
            (SERVER_CERTIFICATE, made.server),
            (SERVER_KEY, made.server_key),
            (ACCOUNT_KEY, made.account.serialize_pem()),
            (ACCOUNT_PUBLIC_KEY, made.account.public_key_pem()),
        ] {
            let path = dir.join(name);
            fs::write(&path, text).map_err(LabError::io(format!("write {}", path.display())))?;
        }
        Ok(Self { authority: dir.join(AUTHORITY) })
    }

    /// A kubeconfig that goes to `server`, with a token that is read from a file.
    pub(super) fn write_kubeconfig(
        &self,
        path: &Path,
        server: SocketAddr,
        token_file: &Path,
    ) -> Result<(), LabError> {
        let document = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": format!("https://{server}"), "certificate-authority": self.authority}}],
            "users": [{"name": "plexus", "user": {"tokenFile": token_file}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "plexus"}}],
        });
        fs::write(path, document.to_string()).map_err(LabError::io(format!("write {}", path.display())))
    }
}

/// What is written.
struct Made {
    authority: String,
    server: String,
    server_key: String,
    account: KeyPair,
}

impl Made {
    fn new() -> Result<Self, rcgen::Error> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_text = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);
        let server_key = KeyPair::generate()?;
        let server = CertificateParams::new(vec!["localhost".to_owned(), HOST.to_owned()])?;
        let server = server.signed_by(&server_key, &issuer)?.pem();
        Ok(Self {
            authority: authority_text,
            server,
            server_key: server_key.serialize_pem(),
            account: KeyPair::generate()?,
        })
    }
}
