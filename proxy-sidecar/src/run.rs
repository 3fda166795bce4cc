//! From start to stop: who owns what.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use pod_contract::admin::{self, Admin};
use pod_contract::metrics as exposition;
use pod_contract::net::listen::{announce, bind};
use pod_contract::run::greet::greet;
use pod_contract::run::lifecycle::{self, CancellationToken, note_panic};
use pod_contract::run::ready::{Latch, Ready};
use pod_contract::start::exit::Failure;
use pod_contract::start::last_words::LastWords;
use tokio::task::JoinSet;
use tokio::time;

use crate::config::Config;
use crate::endpoints::{Names, Resolver};
use crate::health;
use crate::listen::{Quiet, accept};
use crate::metrics::{Metrics, ServiceMetrics};
use crate::service::Service;

type Served = Rc<RefCell<Vec<Rc<ServiceMetrics>>>>;

/// What the admin side calls itself.
const SERVER: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Runs until SIGTERM, then serves on until the application is quiet, and returns.
pub fn run(config: Config, words: LastWords) -> Result<(), Failure> {
    let served = Served::default();
    let counted = Rc::clone(&served);
    let left = move || {
        let sum = |gauge: fn(&ServiceMetrics) -> i64| counted.borrow().iter().map(|m| gauge(m)).sum::<i64>();
        format!(
            "{} connections and {} requests under way",
            sum(|m| m.connections.get()),
            sum(|m| m.under_way.get())
        )
    };
    lifecycle::run(config.grace, &words, left, |stop| serve(config, served, stop))
}

async fn serve(config: Config, served: Served, stop: CancellationToken) -> Result<(), Failure> {
    let mut registry = exposition::registry("proxy", env!("CARGO_PKG_VERSION"));
    let metrics = Metrics::register(&mut registry);
    let ready = Ready::default();
    let starting = ready.latch("cluster");
    let admin = admin::listen(config.admin).await?;
    let quiet = Rc::new(Quiet::new(config.drain_quiet));
    let (mut listeners, mut services) = (JoinSet::new(), Vec::new());
    let mut names = Names::default();
    for service in config.services {
        let listener = bind(service.listen, "--listen").await?;
        tracing::info!(service = service.name, targets = service.targets.len(), "service");
        announce(&listener, "listening");
        if !service.listen.ip().is_loopback() {
            tracing::warn!(service = service.name, address = %service.listen, "listening beyond loopback: anybody who reaches the pod can use this");
        }
        let service = Service::new(
            service.clone(),
            metrics.service(&service.name, service.protocol),
            &mut names,
        );
        if service.config.is_insecure {
            tracing::warn!(
                service = service.config.name,
                "--tls-insecure: any server is believed to be an endpoint; whoever is on the way reads and changes everything"
            );
            service.metrics.unverified.set(1);
        }
        served.borrow_mut().push(Rc::clone(&service.metrics));
        listeners.spawn_local(accept(listener, Rc::clone(&service), stop.clone(), Rc::clone(&quiet)));
        services.push(service);
    }
    let done = CancellationToken::new();
    let mut side = JoinSet::new();
    side.spawn_local(admin.serve(
        Admin {
            server: SERVER,
            ready,
            registry,
        },
        done.clone(),
    ));
    let resolver = Rc::new(Resolver::new(config.dns));
    for name in names.into_all() {
        let resolver = Rc::clone(&resolver);
        side.spawn_local(async move { name.keep(&resolver).await });
    }
    for service in &services {
        side.spawn_local(health::watch(Rc::clone(service)));
    }
    side.spawn_local(greet_all(services.clone(), starting));
    side.spawn_local(sweep(services));
    while let Some(ended) = listeners.join_next().await {
        note_panic(ended);
    }
    done.cancel();
    tracing::info!("stopped");
    Ok(())
}

/// Ready when every cluster has answered once. Clients are served, or told why not, in the meantime.
async fn greet_all(services: Vec<Rc<Service>>, starting: Latch) {
    let mut left = services.into_iter().peekable();
    greet(starting, async || {
        while let Some(service) = left.peek() {
            service.greet().await.map_err(|error| error.to_string())?;
            left.next();
        }
        Ok(())
    })
    .await;
}

/// Closes kept connections that nobody needs any more.
async fn sweep(services: Vec<Rc<Service>>) {
    let Some(shortest) = services.iter().map(|service| service.config.times.upstream_idle).min() else {
        return;
    };
    loop {
        time::sleep(shortest.max(Duration::from_secs(1))).await;
        services.iter().for_each(|service| service.sweep());
    }
}
