//! The pod's identity, from the downward API through the environment.

use std::env;

/// Variables and the field each becomes.
pub(crate) const FIELDS: [(&str, &str); 4] = [
    ("POD_NAME", "kubernetes.pod.name"),
    ("POD_NAMESPACE", "kubernetes.namespace"),
    ("POD_UID", "kubernetes.pod.uid"),
    ("NODE_NAME", "kubernetes.node.name"),
];

/// The fields that are set.
pub(crate) fn fields() -> Vec<(&'static str, String)> {
    FIELDS
        .iter()
        .filter_map(|(variable, field)| Some((*field, env::var(variable).ok().filter(|v| !v.is_empty())?)))
        .collect()
}

/// Tells this pod's files from another pod's that have the same inode: the pod's uid, else its name, else the host's.
pub(crate) fn scope() -> String {
    ["POD_UID", "POD_NAME", "HOSTNAME"]
        .iter()
        .find_map(|name| env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_default()
}
