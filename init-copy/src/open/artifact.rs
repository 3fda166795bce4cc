//! An OCI artifact: its layers, as files or unpacked.

use std::path::Path;

use super::Opening;
use super::web::Came;
use crate::archive::Unpack;
use crate::error::Error;
use crate::oci::{DockerConfig, Pull, Reference};
use crate::plan::Builder;

impl Opening<'_> {
    pub(super) fn artifact(&self, reference: &Reference, builder: &mut Builder) -> Result<(), Error> {
        let label = format!("oci://{reference}");
        // Of an index, each platform has another content.
        let pinned = |digest: &str| format!("pinned:{digest} {}", self.step.platform);
        // A digest of a manifest is for ever: no question is needed.
        if let Some(digest) = &reference.digest
            && let Some(found) = self.in_place(&label)?
            && *found.identity == *pinned(digest)
        {
            return self.take(&label, found, builder);
        }
        let config = DockerConfig::load(self.step.registry_config.as_deref())?;
        let pull = Pull {
            client: self.client,
            reference,
            config: &config,
            plain_http: self.step.plain_http,
            platform: &self.step.platform,
            tries: self.step.tries,
            owner: self.owner,
            max_bytes: self.step.limits.bytes,
            durable: self.step.durable,
        };
        let artifact = pull.manifest()?;
        let identity = match &reference.digest {
            Some(digest) => pinned(digest),
            None => artifact.digest.clone(),
        };
        if self.keep(&label, &identity, builder)? {
            return Ok(());
        }
        let Some(base) = self.base else {
            for layer in &artifact.layers {
                self.announce(&label, &layer.path, layer.size, builder)?;
            }
            return Ok(());
        };
        let total: u64 = artifact.layers.iter().map(|layer| layer.size).sum();
        tracing::info!(
            artifact = label,
            digest = artifact.digest,
            layers = artifact.layers.len(),
            bytes = total,
            "pulling"
        );
        for layer in &artifact.layers {
            if let Some(name) = layer.path.file_name()
                && crate::source::glob::any(&self.step.exclude, Path::new(name))
            {
                continue;
            }
            let fetched = artifact.fetch(layer, base, self.progress)?;
            let unpack_file = self.step.unpack != Unpack::Off && !layer.unpack;
            let place = if unpack_file { Path::new("") } else { &layer.path };
            let came = Came {
                label: &label,
                place,
                name: Path::new(layer.path.file_name().unwrap_or_default()),
                identity: identity.clone(),
                unpack: layer.unpack || unpack_file,
                fetched,
            };
            self.fetched(base, came, builder)?;
        }
        Ok(())
    }
}
