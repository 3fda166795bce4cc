//! From start to stop: binds every service, accepts, and drains.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use pod_contract::admin::{self, Admin};
use pod_contract::metrics::{self as exposition, Counted};
use pod_contract::net::listen::{announce, bind};
use pod_contract::run::greet::greet;
use pod_contract::run::lifecycle::{self, CancellationToken, note_panic};
use pod_contract::run::ready::{Latch, Ready};
use pod_contract::start::exit::Failure;
use pod_contract::start::last_words::LastWords;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use crate::config::{Config, Protocol};
use crate::deadline::Deadline;
use crate::metrics::{Metrics, ServiceMetrics};
use crate::service::Service;
use crate::{http1, tunnel};

/// After a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// While stopping, whether the application has become quiet is looked at so often.
const DRAIN_TICK: Duration = Duration::from_millis(20);

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
    let quiet = Rc::new(Quiet {
        clients: Cell::new(0),
        busy_at: Cell::new(Instant::now()),
        after: config.drain_quiet,
    });
    let (mut listeners, mut services) = (JoinSet::new(), Vec::new());
    for service in config.services {
        let listener = bind(service.listen, "--listen").await?;
        tracing::info!(service = service.name, endpoints = service.endpoints.len(), "service");
        announce(&listener, "listening");
        if !service.listen.ip().is_loopback() {
            tracing::warn!(service = service.name, address = %service.listen, "listening beyond loopback: anybody who reaches the pod can use this");
        }
        let service = Service::new(service.clone(), metrics.service(&service.name));
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
    side.spawn_local(greet_all(services.clone(), starting));
    side.spawn_local(sweep(services));
    while let Some(ended) = listeners.join_next().await {
        note_panic(ended);
    }
    done.cancel();
    tracing::info!("stopped");
    Ok(())
}

/// When the application was last seen on any service: they stop together, for while it uses one it may need another.
#[derive(Debug)]
struct Quiet {
    clients: Cell<usize>,
    busy_at: Cell<Instant>,
    after: Duration,
}

impl Quiet {
    fn is_reached(&self) -> bool {
        self.clients.get() == 0 && self.busy_at.get().elapsed() >= self.after
    }

    fn count(&self, clients: usize) {
        self.clients.set(clients);
        self.busy_at.set(Instant::now());
    }
}

/// Takes clients, each as a task of its own. After `stop` it goes on until all services are quiet.
async fn accept(listener: TcpListener, service: Rc<Service>, stop: CancellationToken, quiet: Rc<Quiet>) {
    let mut clients = JoinSet::new();
    loop {
        let stopping = stop.is_cancelled();
        if stopping && quiet.is_reached() {
            return;
        }
        tokio::select! {
            () = stop.cancelled(), if !stopping => quiet.count(quiet.clients.get()),
            () = time::sleep(DRAIN_TICK), if stopping => {}
            Some(ended) = clients.join_next() => {
                note_panic(ended);
                quiet.count(quiet.clients.get() - 1);
            }
            // A permit first: a client that cannot be served waits in the kernel's queue.
            accepted = listener.accept(), if clients.len() < service.config.max_connections => match accepted {
                Ok((client, _)) => {
                    quiet.count(quiet.clients.get() + 1);
                    clients.spawn_local(converse(client, Rc::clone(&service), stop.clone(), quiet.after));
                }
                Err(error) => {
                    if service.may_tell() {
                        tracing::warn!(service = service.config.name, %error, "cannot accept a connection");
                    }
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn converse(mut client: TcpStream, service: Rc<Service>, stop: CancellationToken, quiet: Duration) {
    if let Err(error) = client.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    match service.config.protocol {
        Protocol::Http => http1::serve(client, service, stop, quiet).await,
        Protocol::Tcp => {
            let _counted = Counted::on(&service.metrics.connections);
            let _under_way = Counted::on(&service.metrics.under_way);
            match service.connect().await {
                Ok((_in_flight, mut server)) => {
                    let end = tunnel::run(
                        &mut client,
                        &mut server,
                        None,
                        &mut Deadline::new(),
                        service.config.idle_timeout,
                    )
                    .await;
                    if end != tunnel::End::Closed {
                        service.metrics.cut.inc();
                        tunnel::reset(&client);
                        tunnel::reset(&server);
                    }
                }
                Err(error) => {
                    tunnel::reset(&client);
                    if service.may_tell() {
                        tracing::warn!(service = service.config.name, %error, "no tunnel");
                    }
                }
            }
        }
    }
}

/// Ready when every cluster has answered once. Clients are served, or told why not, in the meantime.
async fn greet_all(services: Vec<Rc<Service>>, starting: Latch) {
    let mut left = services.into_iter().peekable();
    greet(starting, async || {
        while let Some(service) = left.peek() {
            service.connect().await.map_err(|error| error.to_string())?;
            left.next();
        }
        Ok(())
    })
    .await;
}

/// Closes kept connections that nobody needs any more.
async fn sweep(services: Vec<Rc<Service>>) {
    let Some(shortest) = services.iter().map(|service| service.config.upstream_idle).min() else {
        return;
    };
    loop {
        time::sleep(shortest.max(Duration::from_secs(1))).await;
        services.iter().for_each(|service| service.sweep());
    }
}
