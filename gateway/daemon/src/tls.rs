//! The TLS of feeds and destinations, from PEM files: TLS 1.2 and 1.3, ring, no renegotiation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode as _, Reader, SliceReader, Tag, Tagged as _};
use jiff::Timestamp;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::KeySource;

/// The files of one side of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that the other side's certificate must come from.
    pub ca: Option<PathBuf>,
    /// Our certificate, with its chain.
    pub certificate: Option<PathBuf>,
    /// The key of our certificate.
    pub key: Option<KeySource>,
}

/// Why TLS cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or holds nothing of use.
    #[error("{path} holds no usable {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// A credential outside of systemd.
    #[error("the credential {0} is handed over by systemd (LoadCredentialEncrypted=); name a file instead")]
    NoCredential(String),
    /// Certificate and key are not both named.
    #[error("a TLS listener needs tls.certificate and tls.key")]
    NoIdentity,
    /// Certificate and key do not belong together.
    #[error("certificate and key cannot be used together")]
    Identity(#[source] rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("tls.client_ca cannot be used")]
    Clients(#[source] rustls::server::VerifierBuilderError),
}

impl TlsFiles {
    /// When our certificate ends, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn ends(&self) -> Result<Option<Timestamp>, TlsError> {
        let Some(path) = &self.certificate else { return Ok(None) };
        let chain = certificates(path)?;
        let own = chain.first().ok_or_else(|| unusable(path, "certificate", "it is empty"))?;
        let seconds = not_after(own).map_err(|error| unusable(path, "certificate", error))?;
        Ok(i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()))
    }
}

/// The end of a certificate's validity, in seconds since 1970 (RFC 5280, section 4.1).
fn not_after(certificate: &[u8]) -> der::Result<u64> {
    SliceReader::new(certificate)?.sequence(|certificate| {
        let ends = certificate.sequence(|tbs| {
            // The version may be absent; then serial number, algorithm and issuer.
            let first = AnyRef::decode(tbs)?;
            for _ in 0..if first.tag().is_context_specific() { 3 } else { 2 } {
                AnyRef::decode(tbs)?;
            }
            let ends = tbs.sequence(|validity| {
                AnyRef::decode(validity)?;
                Ok(match validity.peek_tag()? {
                    Tag::UtcTime => UtcTime::decode(validity)?.to_unix_duration(),
                    _ => GeneralizedTime::decode(validity)?.to_unix_duration(),
                })
            })?;
            rest(tbs)?;
            Ok(ends)
        })?;
        rest(certificate)?;
        Ok(ends.as_secs())
    })
}

/// Steps over what is left.
fn rest<'d>(reader: &mut impl Reader<'d>) -> der::Result<()> {
    while !reader.is_finished() {
        AnyRef::decode(reader)?;
    }
    Ok(())
}

/// What a destination is spoken to with. Its certificate must come from `ca`.
///
/// # Errors
/// When a file cannot be used.
pub fn client(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let roots = files.ca.as_deref().map(authorities).transpose()?.unwrap_or_else(RootCertStore::empty);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?
        .with_root_certificates(roots);
    match identity(files)? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(TlsError::Identity),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// What a listener speaks. With `ca` every client has to show a certificate that comes from there.
///
/// # Errors
/// When a file cannot be used, or certificate and key are missing.
pub fn server(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let (chain, key) = identity(files)?.ok_or(TlsError::NoIdentity)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Identity)?;
    let builder = match &files.ca {
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(TlsError::Clients)?)
        }
        None => builder.with_no_client_auth(),
    };
    builder.with_single_cert(chain, key).map_err(TlsError::Identity)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, "authority certificate", error))?;
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(files: &TlsFiles) -> Result<Option<Identity>, TlsError> {
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else { return Ok(None) };
    let key = match key {
        KeySource::File(path) => path.clone(),
        KeySource::Credential(name) => std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|directory| Path::new(&directory).join(name))
            .ok_or_else(|| TlsError::NoCredential(name.clone()))?,
    };
    let read = PrivateKeyDer::from_pem_file(&key).map_err(|error| unusable(&key, "private key", error))?;
    Ok(Some((certificates(certificate)?, read)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unusable(path, "certificate", error))?;
    if found.is_empty() {
        return Err(unusable(path, "certificate", "no PEM certificate in it"));
    }
    Ok(found)
}

fn unusable(
    path: &Path,
    what: &'static str,
    source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
) -> TlsError {
    TlsError::File { path: path.to_owned(), what, source: source.into() }
}
