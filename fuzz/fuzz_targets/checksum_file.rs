//! Digests and files of digests. Input: a digest; and its first line, the name that is looked for in the others.

#![no_main]

use init_copy::content::checksum::Expected;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(expected) = Expected::parse(text) {
        round_trip(&expected);
    }
    let (name, file) = text.split_once('\n').unwrap_or(("app.war", text));
    if let Ok(expected) = Expected::from_file(file, name) {
        let hex = round_trip(&expected);
        assert!(file.to_ascii_lowercase().contains(&hex), "{hex} is not in the file");
        let more = format!("# more\n\n{file}\n");
        assert_eq!(
            Expected::from_file(&more, name),
            Ok(expected),
            "a comment changes the digest"
        );
    }
});

/// The digits.
fn round_trip(expected: &Expected) -> String {
    let written = expected.to_string();
    assert_eq!(Expected::parse(&written).as_ref(), Ok(expected), "{written:?}");
    let (_, hex) = written.split_once(':').expect("a name stands before the digits");
    assert_eq!(Expected::parse(hex).as_ref(), Ok(expected), "{hex:?}");
    hex.to_owned()
}
