//! Manifests and indexes, as far as artifacts need them (OCI Image Specification 1.1).

use std::collections::BTreeMap;
use std::fmt;

use pod_contract::config::Setting;
use serde::Deserialize;

use super::reference::is_digest;

pub(super) const TITLE: &str = "org.opencontainers.image.title";
/// The empty content of artifacts that are all annotation.
pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// oras: the layer is a packed directory.
pub(super) const UNPACK: &str = "io.deis.oras.content.unpack";

/// What a registry is told that we understand; some answer nothing else otherwise.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Layers of one artifact; each is a file or a packed directory.
const MAX_LAYERS: usize = 1000;

/// A manifest or an index.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    /// Its type tells an image from other artifacts.
    #[serde(deserialize_with = "or_default")]
    pub(super) config: Descriptor,
    #[serde(deserialize_with = "or_default")]
    pub(super) manifests: Vec<Descriptor>,
    #[serde(deserialize_with = "or_default")]
    pub(super) layers: Vec<Descriptor>,
}

/// Go writes `null` for a list without items.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What points to content.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    /// Of what refers to something.
    #[serde(deserialize_with = "or_default")]
    pub(super) artifact_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(deserialize_with = "or_default")]
    pub(super) urls: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) platform: Option<Platform>,
}

impl Descriptor {
    /// Is it a packed directory, by the suffixes that the media types of such layers have?
    pub(super) fn is_packed(&self) -> bool {
        const PACKED: [&str; 4] = [".tar", "tar+gzip", "tar+zstd", "tar.gzip"];
        PACKED.iter().any(|suffix| self.media_type.ends_with(suffix))
    }

    /// Is it the configuration of an image that a container runs?
    pub(super) fn is_image_config(&self) -> bool {
        const IMAGES: [&str; 2] = [
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.docker.container.image.v1+json",
        ];
        IMAGES.contains(&&*self.media_type)
    }
}

/// `linux/amd64`, `linux/arm/v7`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// The one that this binary was made for.
    pub(crate) fn own() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self {
            os: std::env::consts::OS.into(),
            architecture: architecture.into(),
            variant: None,
        }
    }

    fn serves(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl Setting for Platform {
    const FORM: &'static str = "a platform such as linux/amd64 or linux/arm/v7";

    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(os), Some(architecture), variant, None) if !os.is_empty() && !architecture.is_empty() => Ok(Self {
                os,
                architecture,
                variant,
            }),
            _ => Err("it is not of the form OS/ARCHITECTURE".into()),
        }
    }
}

impl Manifest {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| format!("it is no manifest: {e}"))?;
        if manifest.schema_version != 2 {
            return Err(format!(
                "it has the schema version {}, and 2 is understood",
                manifest.schema_version
            ));
        }
        if manifest.layers.len() > MAX_LAYERS || manifest.manifests.len() > MAX_LAYERS {
            return Err(format!("it has more than {MAX_LAYERS} layers or manifests"));
        }
        for descriptor in manifest.layers.iter().chain(&manifest.manifests) {
            if !is_digest(&descriptor.digest) {
                return Err(format!(
                    "it names the digest {:?}, and only sha256 is understood",
                    descriptor.digest
                ));
            }
            if !descriptor.urls.is_empty() {
                return Err("it names content on other servers (urls), which is not fetched".into());
            }
        }
        Ok(manifest)
    }

    /// Of an index, the manifest for the platform; an artifact may have none, then it is the only one there is.
    pub(super) fn choose(&self, wanted: &Platform) -> Result<&Descriptor, String> {
        let fits = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.serves(wanted));
        if let Some(found) = self.manifests.iter().find(fits) {
            return Ok(found);
        }
        match self.manifests.as_slice() {
            [only] if only.platform.is_none() => Ok(only),
            all => {
                let names: Vec<_> = all
                    .iter()
                    .filter_map(|d| d.platform.as_ref())
                    .map(ToString::to_string)
                    .collect();
                Err(format!("it has nothing for {wanted}, only for [{}]", names.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[Option<&str>]) -> Manifest {
        Manifest {
            schema_version: 2,
            manifests: platforms
                .iter()
                .enumerate()
                .map(|(number, platform)| Descriptor {
                    size: number as u64,
                    platform: platform.map(|p| Platform::parse(p).unwrap()),
                    ..Descriptor::default()
                })
                .collect(),
            ..Manifest::default()
        }
    }

    #[test]
    fn the_platform_chooses() {
        let arm = Platform::parse("linux/arm/v7").unwrap();
        let all = index(&[Some("linux/amd64"), Some("linux/arm/v6"), Some("linux/arm/v7")]);
        assert_eq!(all.choose(&arm).unwrap().size, 2);
        assert_eq!(all.choose(&Platform::parse("linux/arm").unwrap()).unwrap().size, 1);
        assert!(
            all.choose(&Platform::parse("linux/s390x").unwrap())
                .unwrap_err()
                .contains("linux/arm/v6")
        );
        assert_eq!(index(&[None]).choose(&arm).unwrap().size, 0);
        assert!(index(&[None, None]).choose(&arm).is_err());
        for bad in ["", "linux", "linux/", "a/b/c/d"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let good = format!(
            r#"{{"schemaVersion":2,"layers":[{{"digest":"sha256:{}","size":1}}]}}"#,
            "a".repeat(64)
        );
        assert_eq!(Manifest::parse(good.as_bytes()).unwrap().layers.len(), 1);
        for bad in [
            "[]",
            r#"{"schemaVersion":1}"#,
            r#"{"schemaVersion":2,"layers":[{"digest":"md5:00"}]}"#,
            &good.replace("\"size\":1", "\"urls\":[\"http://x\"]"),
        ] {
            assert!(Manifest::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
