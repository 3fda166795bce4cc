//! When a request may be sent again: by what is proved of the try that failed. RFC 9110, section 9.2.2. No I/O.

/// What is known of a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The endpoint has no byte of it, or says so of all that came by its connection.
    NotSent,
    /// It says that it has not looked at it. To send it again is more load.
    Refused,
    /// It may have acted on it, and did not say.
    Ambiguous,
    /// It would be the same again, or the client has seen a part of the answer.
    Final,
}

/// May it be sent again? `idempotent`: to do it twice is to do it once; `in_hand`: all that was sent of it can be sent again.
pub(crate) fn may_repeat(proof: Proof, idempotent: bool, in_hand: bool) -> bool {
    in_hand
        && match proof {
            Proof::NotSent | Proof::Refused => true,
            Proof::Ambiguous => idempotent,
            Proof::Final => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_proved_or_harmless_is_repeated() {
        for (proof, idempotent, may) in [
            (Proof::NotSent, true, true),
            (Proof::NotSent, false, true),
            (Proof::Refused, false, true),
            (Proof::Ambiguous, true, true),
            (Proof::Ambiguous, false, false),
            (Proof::Final, true, false),
            (Proof::Final, false, false),
        ] {
            assert_eq!(may_repeat(proof, idempotent, true), may, "{proof:?} {idempotent}");
            assert!(!may_repeat(proof, idempotent, false));
        }
    }
}
