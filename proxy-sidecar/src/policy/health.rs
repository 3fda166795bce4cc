//! What answers to a health check say about an endpoint. No I/O.

/// Checks in a row without an answer before an endpoint that was well is not any more: one may have been lost on the way.
const SILENT_IN_A_ROW: u32 = 2;

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Fit,
    /// It says so itself: that counts at once.
    Unfit(String),
    /// There was no answer.
    Nothing(String),
}

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_fit: Option<bool>,
    silent: u32,
    why: String,
}

impl Health {
    /// `None` as long as nothing is known.
    pub(crate) fn is_fit(&self) -> Option<bool> {
        self.is_fit
    }

    /// Why it is not fit.
    pub(crate) fn why(&self) -> &str {
        if self.is_fit.is_none() {
            "not checked yet"
        } else {
            &self.why
        }
    }

    /// Takes note; whether it is fit, if that is new.
    pub(crate) fn note(&mut self, said: Said) -> Option<bool> {
        let is_fit = match said {
            Said::Fit => {
                self.silent = 0;
                true
            }
            Said::Unfit(why) => {
                self.silent = 0;
                self.why = why;
                false
            }
            Said::Nothing(why) => {
                self.silent += 1;
                self.why = why;
                self.is_fit == Some(true) && self.silent < SILENT_IN_A_ROW
            }
        };
        (self.is_fit.replace(is_fit) != Some(is_fit)).then_some(is_fit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_counts_at_once_and_one_silence_does_not() {
        let mut health = Health::default();
        let (no, nothing) = (|| Said::Unfit("503".into()), || Said::Nothing("timed out".into()));
        assert_eq!((health.is_fit(), health.why()), (None, "not checked yet"));
        for (said, news) in [
            (nothing(), Some(false)),
            (Said::Fit, Some(true)),
            (nothing(), None),
            (Said::Fit, None),
            (nothing(), None),
            (nothing(), Some(false)),
            (no(), None),
            (Said::Fit, Some(true)),
            (no(), Some(false)),
            (nothing(), None),
        ] {
            assert_eq!(health.note(said.clone()), news, "{said:?}");
        }
        assert_eq!((health.is_fit(), health.why()), (Some(false), "timed out"));
    }
}
