//! Artifacts from OCI registries, as `oras push` writes them.
//!
//! Sources: OCI Distribution Specification 1.1 (pull), OCI Image Specification 1.1 (index, manifest, annotations), the Docker
//! registry's token authentication, and the annotations of oras for directories.

mod challenge;
mod docker_config;
mod manifest;
mod pull;
pub mod reference;
mod registry;

pub(crate) use docker_config::DockerConfig;
pub(crate) use manifest::Platform;
pub(crate) use pull::Pull;
pub(crate) use reference::Reference;
