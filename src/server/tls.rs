//! TLS, for clients that take nothing else: a certificate of this machine's own.
//!
//! The authority is made once and kept in the data directory, so that it needs to be trusted once; the server's own
//! certificate is made at each start and never written.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Region, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the server's certificate holds: systems refuse longer ones than some 13 months.
const CERTIFICATE_HOLDS: Duration = Duration::from_secs(390 * 24 * 60 * 60);
/// How long the authority's certificate holds.
const AUTHORITY_HOLDS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Who made the certificates.
const AUTHORITY: &str = "Neargate on this machine";
/// The first byte of a TLS connection: a record of the handshake.
pub(crate) const FIRST_BYTE: u8 = 0x16;
/// Nobody but the server's user may read the authority's key.
const KEY_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The folder of the authority cannot be used.
    #[error("cannot keep a certificate authority in {}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be made, or the key in the folder is none.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The certificate does not go with its key, or the like.
    #[error("cannot use the certificate")]
    Config(#[from] rustls::Error),
}

/// What TLS connections are accepted with.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    authority: PathBuf,
}

impl Tls {
    /// Makes a certificate for the names of this machine, and those of the region's registries; and its authority in
    /// `folder`, unless there is one.
    pub fn prepare(
        folder: &Path,
        address: SocketAddr,
        region: &Region,
        more_names: &[String],
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let failed = |path: &Path, source| TlsError::Folder { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(|error| failed(folder, error))?;
        let key_file = folder.join("ca-key.pem");
        let key = match fs::read_to_string(&key_file) {
            Ok(pem) => KeyPair::from_pem(&pem)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                write(&key_file, &key.serialize_pem()).map_err(|error| failed(&key_file, error))?;
                key
            }
            Err(error) => return Err(failed(&key_file, error)),
        };
        let authority = folder.join("ca.pem");
        let params = authority_params(now);
        if !authority.exists() {
            // With the same name and key it is the same authority, also for those who trust an earlier certificate.
            let pem = params.self_signed(&key)?.pem();
            write(&authority, &pem).map_err(|error| failed(&authority, error))?;
            let readable = fs::set_permissions(&authority, Permissions::from_mode(0o644));
            readable.map_err(|error| failed(&authority, error))?;
        }
        let server_key = KeyPair::generate()?;
        let names = names(address, region, more_names);
        let certificate = server_params(names, now)?.signed_by(&server_key, &Issuer::new(params, key))?;
        let server_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], server_key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority })
    }

    /// Returns the file with the certificate that clients must trust.
    pub fn authority(&self) -> &Path {
        &self.authority
    }
}

/// Lists what the server may be called. A wildcard stands for one label, and clients refuse one before a last label.
fn names(address: SocketAddr, region: &Region, more: &[String]) -> Vec<String> {
    let of_region = |service: &str| format!("*.{service}.{region}.localhost");
    let mut names = ["localhost", "*.s3.localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend([of_region("dkr.ecr"), of_region("s3")]);
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    names.extend(more.iter().cloned());
    names.sort_unstable();
    names.dedup();
    names
}

fn authority_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, AUTHORITY_HOLDS);
    params
}

fn server_params(names: Vec<String>, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Neargate");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, CERTIFICATE_HOLDS);
    Ok(params)
}

/// Sets from when until when a certificate holds: from yesterday on, as clocks of clients differ.
fn set_validity(params: &mut CertificateParams, now: Timestamp, holds: Duration) {
    let now = date_time_ymd(1970, 1, 1) + now.since(Timestamp::from_millis(0));
    params.not_before = now - DAY;
    params.not_after = now + holds;
}

/// Writes a file in one step.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let half = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(KEY_MODE).open(&half)?;
    file.write_all(text.as_bytes())?;
    fs::rename(half, path)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn prepare(folder: &Path) -> Tls {
        let address = "127.0.0.1:4566".parse().unwrap();
        Tls::prepare(folder, address, &Region::default(), &["neargate.test".to_owned()], NOW).unwrap()
    }

    /// Lets a client that trusts the authority say hello to the server in memory.
    fn trusts(authority: &Path, tls: &Tls, name: &str) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let client = client.with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(tls.acceptor.config())).unwrap();
        let mut bytes = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            bytes.clear();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn who_trusts_the_authority_trusts_the_server_by_all_its_names_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let tls = prepare(&folder.path().join("tls"));
        let authority = fs::read(tls.authority()).unwrap();
        let again = prepare(&folder.path().join("tls"));
        assert_eq!(fs::read(again.authority()).unwrap(), authority);
        for name in [
            "localhost",
            "127.0.0.1",
            "::1",
            "123456789012.dkr.ecr.us-east-1.localhost",
            "bucket.s3.us-east-1.localhost",
            "neargate.test",
        ] {
            trusts(tls.authority(), &again, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(trusts(tls.authority(), &again, "example.com").is_err());
        let stranger = prepare(&folder.path().join("other"));
        assert!(trusts(stranger.authority(), &again, "localhost").is_err());
    }

    #[test]
    fn nobody_else_may_read_the_key_and_everybody_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("ca-key.pem"), mode("ca.pem")), (0o600, 0o644));
    }

    #[test]
    fn a_damaged_key_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca-key.pem"), "x").unwrap();
        let address = "127.0.0.1:4566".parse().unwrap();
        let prepared = Tls::prepare(folder.path(), address, &Region::default(), &[], NOW);
        assert!(matches!(prepared.err(), Some(TlsError::Certificate(_))));
        assert_eq!(fs::read_to_string(folder.path().join("ca-key.pem")).unwrap(), "x");
    }
}
