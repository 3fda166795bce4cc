//! From a reference to layers in the destination.

use std::path::PathBuf;

use super::cosign::{self, PublicKeys};
use super::docker_config::DockerConfig;
use super::manifest::{Descriptor, EMPTY, Manifest, Platform, TITLE, UNPACK};
use super::reference::Reference;
use super::registry::Registry;
use crate::content::checksum::Expected;
use crate::dest::beneath::Root;
use crate::error::{AUTH, DIGEST, Error, SOURCE, UNSAFE};
use crate::fetch::{Authorization, Client, Download, Fetched, download};
use crate::plan::names::PartName;
use crate::plan::safe_path;
use crate::progress::Progress;

/// Helm's signature of a chart.
const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";

/// What to pull, and how.
pub(crate) struct Pull<'p> {
    pub(crate) client: &'p Client,
    pub(crate) reference: &'p Reference,
    pub(crate) config: &'p DockerConfig,
    pub(crate) plain_http: bool,
    pub(crate) platform: &'p Platform,
    pub(crate) tries: u32,
    /// Whose parts the downloads are.
    pub(crate) owner: &'p str,
    pub(crate) max_bytes: u64,
    pub(crate) durable: bool,
    /// A path out of an image is wanted, and no artifact.
    pub(crate) is_image: bool,
    /// One of which has to have signed it.
    pub(crate) keys: Option<&'p PublicKeys>,
}

/// One layer of an artifact.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Where it goes, below the destination.
    pub(crate) path: PathBuf,
    /// A packed directory.
    pub(crate) unpack: bool,
    digest: String,
    pub(crate) size: u64,
}

impl Layer {
    /// One directory, packed, whose contents go to the destination.
    fn whole(descriptor: &Descriptor) -> Self {
        Self {
            path: PathBuf::new(),
            unpack: true,
            digest: descriptor.digest.clone(),
            size: descriptor.size,
        }
    }
}

/// An artifact whose manifest has been read.
pub(crate) struct Artifact<'p> {
    registry: Registry<'p>,
    pull: &'p Pull<'p>,
    /// Of the manifest.
    pub(crate) digest: String,
    pub(crate) layers: Vec<Layer>,
}

impl Pull<'_> {
    /// Reads the manifest, of an index the one for the platform.
    pub(crate) fn manifest(&self) -> Result<Artifact<'_>, Error> {
        let registry = Registry::new(self.client, self.reference, self.config, self.plain_http, self.tries);
        let refuse = |why: String| Error::new(UNSAFE, format!("oci://{} is refused: {why}", self.reference), "");
        let (mut digest, bytes) = registry.get("manifests", self.reference.manifest())?;
        if let Some(keys) = self.keys {
            cosign::verify(&registry, &format!("oci://{}", self.reference), &digest, keys)?;
        }
        let mut manifest = Manifest::parse(&bytes).map_err(refuse)?;
        if !manifest.manifests.is_empty() {
            let chosen = manifest.choose(self.platform).map_err(|why| {
                Error::new(
                    SOURCE,
                    format!("oci://{}: {why}", self.reference),
                    "choose one with --platform",
                )
            })?;
            let (chosen, bytes) = registry.get("manifests", &chosen.digest)?;
            digest = chosen;
            manifest = Manifest::parse(&bytes).map_err(refuse)?;
            if !manifest.manifests.is_empty() {
                return Err(refuse("an index in an index".into()));
            }
        }
        if self.is_image && !manifest.config.is_image_config() {
            return Err(Error::new(
                SOURCE,
                format!("oci://{}: it is an artifact, not an image", self.reference),
                "leave out --path; --member picks from what is unpacked",
            ));
        }
        let layers = manifest
            .layers
            .iter()
            .filter(|layer| layer.media_type != EMPTY)
            .filter(|layer| !self.is_provenance(layer))
            .map(|layer| self.layer(layer, manifest.config.is_image_config()))
            .collect::<Result<Vec<_>, _>>()?;
        if layers.is_empty() {
            return Err(Error::new(
                SOURCE,
                format!("oci://{} holds no files", self.reference),
                "",
            ));
        }
        Ok(Artifact {
            registry,
            pull: self,
            digest,
            layers,
        })
    }

    /// What Helm pushes beside a chart, and nothing in the pod reads.
    fn is_provenance(&self, layer: &Descriptor) -> bool {
        let is = layer.media_type == PROVENANCE && !layer.annotations.contains_key(TITLE);
        if is {
            tracing::info!(artifact = %self.reference, layer = layer.digest, "left out: it is the chart's provenance");
        }
        is
    }

    fn layer(&self, descriptor: &Descriptor, is_image: bool) -> Result<Layer, Error> {
        if self.is_image {
            return Ok(Layer::whole(descriptor));
        }
        let Some(title) = descriptor.annotations.get(TITLE) else {
            return self.untitled(descriptor, is_image);
        };
        let unpack = descriptor.annotations.get(UNPACK).is_some_and(|value| value == "true");
        let path = match safe_path::relative(title.as_bytes()) {
            // oras push of "." itself.
            Err(safe_path::Unsafe::Empty) if unpack => PathBuf::new(),
            other => other.map_err(|why| {
                let cause = format!(
                    "oci://{} has a layer with the title {title:?}, which is refused: {why}",
                    self.reference
                );
                Error::new(UNSAFE, cause, "find out who pushed this artifact, and why")
            })?,
        };
        Ok(Layer {
            path,
            unpack,
            digest: descriptor.digest.clone(),
            size: descriptor.size,
        })
    }

    /// As Helm and Flux push them: one directory, of which the media type says how it is packed.
    fn untitled(&self, descriptor: &Descriptor, is_image: bool) -> Result<Layer, Error> {
        let (cause, remedy) = match descriptor.is_packed() {
            true if !is_image => return Ok(Layer::whole(descriptor)),
            _ if is_image => (
                "it is an image, not an artifact".into(),
                "name what to copy out of it: --path /app/ for the contents of that directory",
            ),
            _ => (
                format!(
                    "it has a layer of the type {:?} without a title, so that nobody knows what to call it",
                    descriptor.media_type
                ),
                "push it with oras, which gives titles",
            ),
        };
        let cause = format!("oci://{}: {cause}", self.reference);
        Err(Error::new(SOURCE, cause, remedy))
    }
}

impl Artifact<'_> {
    /// Downloads one layer; its digest is verified over the bytes.
    pub(crate) fn fetch(&self, layer: &Layer, root: &Root, progress: &Progress) -> Result<Fetched, Error> {
        let url = self.registry.url("blobs", &layer.digest)?;
        let expected = Expected::parse(&layer.digest).map_err(|why| Error::new(DIGEST, why, ""))?;
        let known = self.registry.authorization();
        let renewed;
        let mut what = Download {
            url: &url,
            authorization: known.as_deref().map(Authorization::Header),
            part: PartName::of(self.pull.owner, &layer.digest),
            expected: Some(&expected),
            size: Some(layer.size),
            max_bytes: self.pull.max_bytes,
            tries: self.pull.tries,
            durable: self.pull.durable,
            known: None,
        };
        let mut fetched = download(self.pull.client, root, &what, progress);
        if matches!(&fetched, Err(Error::Other(failure)) if failure.code == AUTH) {
            // A token lives for a minute or so, and the layers before this one may have taken longer; or only content is protected.
            self.registry.renew(&url)?;
            renewed = self.registry.authorization();
            what.authorization = renewed.as_deref().map(Authorization::Header);
            fetched = download(self.pull.client, root, &what, progress);
        }
        fetched?.ok_or_else(|| Error::new(DIGEST, format!("{url} answers without content"), ""))
    }
}
