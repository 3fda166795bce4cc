//! One series of a family, which goes when what it is about does: an endpoint, a file.

use std::hash::Hash;
use std::ops::Deref;

use prometheus_client::metrics::family::Family;

/// The metric under these labels; dropped, it is shown no more.
///
/// One owner for a set of labels: the second one of two would be removed by the first.
#[derive(Debug)]
pub struct Series<L: Clone + Eq + Hash, M> {
    family: Family<L, M>,
    labels: L,
    metric: M,
}

impl<L: Clone + Eq + Hash, M: Clone> Series<L, M> {
    /// The series of `family` with `labels`, at zero unless it is there.
    pub fn of(family: &Family<L, M>, labels: L) -> Self {
        Self {
            metric: family.get_or_create_owned(&labels),
            family: family.clone(),
            labels,
        }
    }
}

impl<L: Clone + Eq + Hash, M> Deref for Series<L, M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.metric
    }
}

impl<L: Clone + Eq + Hash, M> Drop for Series<L, M> {
    fn drop(&mut self) {
        self.family.remove(&self.labels);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::metrics::{Format, exposition, registry};

    #[test]
    fn a_series_is_shown_as_long_as_it_lives() {
        let mut registry = registry("demo", "1");
        let family = Family::<Vec<(&'static str, &'static str)>, Counter>::default();
        registry.register("reads", "Reads", family.clone());
        let (a, b) = (
            Series::of(&family, vec![("file", "a")]),
            Series::of(&family, vec![("file", "b")]),
        );
        a.inc();
        let text = |registry| exposition(registry, Format::Text);
        assert!(
            text(&registry).contains("reads_total{file=\"a\"} 1\n"),
            "{}",
            text(&registry)
        );
        drop(a);
        let left = text(&registry);
        assert!(
            !left.contains("file=\"a\"") && left.contains("reads_total{file=\"b\"} 0\n"),
            "{left}"
        );
        drop(b);
    }
}
