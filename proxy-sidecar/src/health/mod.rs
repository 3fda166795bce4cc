//! Active checks: each endpoint is asked again and again, from when it joins its cluster until it leaves.

mod ask;
mod grpc;

use std::rc::Rc;

use pod_contract::run::lifecycle::note_panic;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::endpoints::Endpoint;
use crate::policy::health::Said;
use crate::service::Service;

/// Keeps watch over the members of `service`, if they are to be checked.
pub(crate) async fn watch(service: Rc<Service>) {
    if service.config.targets.iter().all(|target| target.health.is_none()) {
        return;
    }
    let mut watches = JoinSet::new();
    let mut watched = Vec::new();
    loop {
        let members = service.members();
        watched.retain(|id| members.iter().any(|endpoint| endpoint.id == *id));
        for endpoint in members {
            if !watched.contains(&endpoint.id) {
                watched.push(endpoint.id);
                watches.spawn_local(keep(endpoint, Rc::clone(&service)));
            }
        }
        tokio::select! {
            () = service.members_looked() => {}
            Some(ended) = watches.join_next() => note_panic(ended),
        }
    }
}

/// Also when it has left, as long as something is under way there: its tunnels may have to be cut.
async fn keep(endpoint: Rc<Endpoint>, service: Rc<Service>) {
    while let Some(check) = &endpoint.target.health
        && (!endpoint.is_draining() || endpoint.in_flight() > 0)
    {
        if let Some(said) = ask::ask(&endpoint, check).await {
            note(&endpoint, &service, said);
        }
        sleep(check.interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
    }
}

fn note(endpoint: &Endpoint, service: &Service, said: Said) {
    service.metrics.checked(&said);
    if let Said::Unfit(why) | Said::Nothing(why) = &said {
        tracing::debug!(endpoint = endpoint.label, why, "health check");
    }
    if endpoint.checked(said) {
        service.tell_news();
    }
}
