//! Where content comes from, as typed: a path, a glob, a URL, an OCI artifact.

mod expand;
pub(crate) mod glob;
mod walk;

use std::fmt;
use std::path::PathBuf;

use pod_contract::config::Setting;

pub(crate) use expand::{expand, has_pattern};
pub(crate) use walk::Walk;

use crate::fetch::{Object, WebUrl};
use crate::oci::Reference;

/// One SRC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file, a directory, or a pattern of such.
    Path(PathBuf),
    Url(WebUrl),
    S3(Object),
    Oci(Reference),
}

impl Setting for Source {
    const FORM: &'static str =
        "a path, a pattern such as /libs/*.jar, http(s)://host/path, s3://bucket/key, or oci://registry/repository:tag";

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("http" | "https", _)) => text.parse().map(Self::Url),
            Some(("s3", object)) => object.parse().map(Self::S3),
            Some(("oci", reference)) => reference.parse().map(Self::Oci),
            Some((scheme, _)) if !scheme.contains('/') => Err(format!("the scheme {scheme:?} is not known")),
            _ => PathBuf::parse(text).map(Self::Path),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
            Self::S3(object) => object.fmt(f),
            Self::Oci(reference) => write!(f, "oci://{reference}"),
        }
    }
}
