//! Settings of a client that follow their files: a rotated certificate is shown by the next connection.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;

use super::{Tls, client};
use crate::start::exit::Failure;

/// What a file was when it was read; another file behind the same name, and a ConfigMap's switch, is another one.
type Stamp = Option<(u64, u64, u64, i64, i64, i64)>;

/// The files are looked at whenever settings are asked for, that is, for each connection, and read anew when they have changed: all of
/// them, and used as one unit. While they do not fit together, as half way through a rotation, the ones before are used on.
#[derive(Debug)]
pub struct Renewing {
    tls: Tls,
    alpn: &'static [&'static str],
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    config: Arc<ClientConfig>,
    stamps: Vec<Stamp>,
    told: Option<String>,
}

impl Renewing {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them, and where.
    pub fn new(tls: Tls, alpn: &'static [&'static str]) -> Result<Self, Failure> {
        let stamps = stamps(&tls);
        let config = Arc::new(load(&tls, alpn)?);
        let now = Mutex::new(Now {
            config,
            stamps,
            told: None,
        });
        Ok(Self { tls, alpn, now })
    }

    /// The settings for the next connection.
    pub fn current(&self) -> Arc<ClientConfig> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let found = stamps(&self.tls);
        if found != now.stamps {
            match load(&self.tls, self.alpn) {
                // Written to while they were read: the next one reads them again.
                Ok(_) if stamps(&self.tls) != found => {}
                Ok(config) => {
                    now.config = Arc::new(config);
                    now.stamps = found;
                    now.told = None;
                    tracing::info!("certificates were read anew");
                }
                Err(error) => {
                    let why = error.to_string();
                    if now.told.as_ref() != Some(&why) {
                        tracing::warn!(why, "the changed certificates cannot be used; the ones before are");
                        now.told = Some(why);
                    }
                }
            }
        }
        Arc::clone(&now.config)
    }
}

fn load(tls: &Tls, alpn: &[&str]) -> Result<ClientConfig, Failure> {
    client(&tls.sources.load(tls.trust)?, tls.trust, alpn)
}

fn stamps(tls: &Tls) -> Vec<Stamp> {
    let stamp = |path| {
        let meta = fs::metadata(path).ok()?;
        let (size, modified, changed) = (meta.size(), meta.mtime_nsec(), meta.ctime_nsec());
        Some((meta.dev(), meta.ino(), size, meta.ctime(), modified, changed))
    };
    tls.sources.files().into_iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;
    use crate::tls::{Sources, Trust};

    fn write(dir: &Path, which: &[&str]) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["client.example".into()]).unwrap();
        for (name, text) in [("tls.crt", cert.pem()), ("tls.key", signing_key.serialize_pem())] {
            if which.contains(&name) {
                fs::write(dir.join(name), text).unwrap();
            }
        }
    }

    #[test]
    fn a_pair_is_renewed_as_one_unit_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &["tls.crt", "tls.key"]);
        let identity = Some((dir.path().join("tls.crt"), dir.path().join("tls.key")));
        let tls = Tls {
            sources: Sources { ca: None, identity },
            trust: Trust::Verified,
        };
        let renewing = Renewing::new(tls.clone(), &[]).unwrap();
        let first = renewing.current();
        assert!(Arc::ptr_eq(&first, &renewing.current()));

        // Half of another pair; nothing; a broken file: each is passed over.
        write(dir.path(), &["tls.crt"]);
        assert!(Arc::ptr_eq(&first, &renewing.current()));
        Renewing::new(tls, &[]).unwrap_err();
        fs::remove_file(dir.path().join("tls.key")).unwrap();
        assert!(Arc::ptr_eq(&first, &renewing.current()));
        fs::write(dir.path().join("tls.key"), "-----BEGIN PRIVATE KEY-----\nx").unwrap();
        assert!(Arc::ptr_eq(&first, &renewing.current()));

        write(dir.path(), &["tls.crt", "tls.key"]);
        let second = renewing.current();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &renewing.current()));
    }
}
