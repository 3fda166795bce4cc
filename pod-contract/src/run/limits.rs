//! What the container allows the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit is for programs that cannot handle many files; ours can, up to what the container is allowed.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum
        && setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        )
        .is_err()
    {
        tracing::debug!("the limit of open files stays as it is");
    }
}
