//! Artifacts from OCI registries, as `oras push` writes them, and paths out of images.
//!
//! Sources: OCI Distribution Specification 1.1 (pull), OCI Image Specification 1.1 (index, manifest, annotations), the Docker
//! registry's token authentication, and the annotations of oras for directories.

mod challenge;
mod cosign;
mod docker_config;
mod manifest;
mod pull;
pub mod reference;
mod registry;
mod rootfs;

pub(crate) use cosign::PublicKeys;
pub(crate) use docker_config::DockerConfig;
pub(crate) use manifest::Platform;
pub(crate) use pull::{Artifact, Pull};
pub(crate) use reference::Reference;
pub(crate) use rootfs::{ImagePath, Node, NodeKind, RootFs};
