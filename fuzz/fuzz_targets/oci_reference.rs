//! References to artifacts: what is parsed and written again means the same, and fits into a URL as it is.

#![no_main]

use init_copy::oci::reference::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    let written = reference.to_string();
    assert_eq!(
        written.parse().as_ref(),
        Ok(&reference),
        "{text:?} is written {written:?}"
    );
    assert!(!reference.host().is_empty());
    let path = format!("/v2/{}/manifests/{}", reference.repository, reference.manifest());
    assert!(
        path.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/:._-".contains(&byte)),
        "{path:?} needs escapes in a URL"
    );
    assert!(
        !path.contains("..") || reference.manifest().contains(".."),
        "{path:?} goes up"
    );
    assert!(!path.contains("//"), "{path:?} has an empty component");
});
