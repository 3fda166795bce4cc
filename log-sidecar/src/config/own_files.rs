//! Files that sinks write to: nobody reads them, and no other sink writes to them.

use std::collections::HashSet;

use pod_contract::config::Settings;

use super::Route;
use crate::discover::resolved;
use crate::sink::Target;

/// Refuses files that would be read again, or that two sinks write to.
pub(super) fn prove(s: &mut Settings<'_>, routes: &[Route]) -> Option<()> {
    let mut taken = HashSet::new();
    for route in routes {
        let Target::File(place) = &route.delivery.target else {
            continue;
        };
        for path in place.all() {
            if routes.iter().any(|reader| reader.reading.patterns.lead_to(&path)) {
                let path = path.display();
                return s.refuse_together(
                    &["to", "include"],
                    format!("{path}, where records go, is among the files that are read, and would be read again; name one elsewhere, or --exclude it"),
                );
            }
            if !taken.insert(resolved(&path)) {
                return s.refuse(format!(
                    "two sinks would write to {}, or rotate it away",
                    path.display()
                ));
            }
        }
    }
    Some(())
}
