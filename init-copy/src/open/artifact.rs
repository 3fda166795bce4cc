//! An OCI artifact: its layers, as files or unpacked; or an image.

use std::path::Path;

use super::Opening;
use super::image::Labelled;
use super::web::Came;
use crate::archive::Unpack;
use crate::dest::beneath::Root;
use crate::error::Error;
use crate::oci::{Artifact, DockerConfig, PublicKeys, Pull, Reference};
use crate::plan::Builder;

impl Opening<'_> {
    pub(super) fn artifact(&self, reference: &Reference, builder: &mut Builder) -> Result<(), Error> {
        let label = format!("oci://{reference}");
        // Of an index, each platform has another content.
        let path = self.step.path.as_ref();
        let keys = self.step.cosign_key.as_deref().map(PublicKeys::load).transpose()?;
        let as_wanted = |digest: String| {
            let path = path.map(|path| format!(" {path}")).unwrap_or_default();
            let keys = keys.as_ref().map(|keys| format!(" signed:{}", keys.mark));
            digest + &path + &keys.unwrap_or_default()
        };
        let pinned = |digest: &str| as_wanted(format!("pinned:{digest} {}", self.step.platform));
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
            is_image: path.is_some(),
            keys: keys.as_ref(),
        };
        let artifact = pull.manifest()?;
        let identity = match &reference.digest {
            Some(digest) => pinned(digest),
            None => as_wanted(artifact.digest.clone()),
        };
        if self.keep(&label, &identity, builder)? {
            return Ok(());
        }
        let total: u64 = artifact.layers.iter().map(|layer| layer.size).sum();
        let Some(base) = self.base else {
            if let Some(path) = path {
                return self.announce(&label, Path::new(path.file_name()), total, builder);
            }
            for layer in &artifact.layers {
                self.announce(&label, &layer.path, layer.size, builder)?;
            }
            return Ok(());
        };
        tracing::info!(
            artifact = label,
            digest = artifact.digest,
            layers = artifact.layers.len(),
            bytes = total,
            "pulling"
        );
        match path {
            Some(path) => {
                let named = Labelled {
                    label: &label,
                    identity: &identity,
                };
                self.image(&artifact, path, named, base, builder)
            }
            None => self.layers(&label, &artifact, &identity, base, builder),
        }
    }

    fn layers(
        &self,
        label: &str,
        artifact: &Artifact<'_>,
        identity: &str,
        base: &Root,
        builder: &mut Builder,
    ) -> Result<(), Error> {
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
                label,
                place,
                name: Path::new(layer.path.file_name().unwrap_or_default()),
                identity: identity.to_owned(),
                unpack: layer.unpack || unpack_file,
                fetched,
            };
            self.fetched(base, came, builder)?;
        }
        Ok(())
    }
}
