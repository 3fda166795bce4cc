//! The members of a cluster: each address of each name that was configured.

mod dns;
mod endpoint;
mod name;
mod route;

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use pod_contract::units::HostPort;

use crate::config::Target;

pub(crate) use dns::{Resolver, fuzzing};
pub(crate) use endpoint::{Doubt, Endpoint, InFlight};
pub(crate) use name::Name;

/// All names in use, each once: however many services use it, it is asked for once.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Rc<Name>>);

/// The endpoints of one service.
#[derive(Debug)]
pub(crate) struct Cluster {
    sources: Vec<Source>,
    members: RefCell<Vec<Rc<Endpoint>>>,
}

/// Where members come from: one host and port as configured.
#[derive(Debug)]
struct Source {
    target: Rc<Target>,
    name: Option<Named>,
}

#[derive(Debug)]
struct Named {
    name: Rc<Name>,
    /// The version of the name that the members are of.
    version: Cell<u64>,
}

impl Names {
    fn get(&mut self, host: &str) -> Rc<Name> {
        if let Some(name) = self.0.iter().find(|name| name.host().eq_ignore_ascii_case(host)) {
            return Rc::clone(name);
        }
        let name = Rc::new(Name::new(host));
        self.0.push(Rc::clone(&name));
        name
    }

    pub(crate) fn into_all(self) -> Vec<Rc<Name>> {
        self.0
    }
}

impl Cluster {
    /// The members are known at once where they are given as addresses, and once `names` are known otherwise.
    pub(crate) fn new(targets: &[Target], names: &mut Names) -> Self {
        let (mut sources, mut members) = (Vec::new(), Vec::new());
        for target in targets {
            let target = Rc::new(target.clone());
            let HostPort { host, port } = &target.address;
            let literal: Option<IpAddr> = host.parse().ok();
            if let Some(ip) = literal {
                members.push(Endpoint::new(&target, SocketAddr::new(ip, *port), None));
            }
            let named = || Named {
                name: names.get(host),
                version: Cell::new(0),
            };
            let name = literal.is_none().then(named);
            sources.push(Source { target, name });
        }
        Self {
            sources,
            members: RefCell::new(members),
        }
    }

    /// The members, as the names stand now.
    pub(crate) fn members(&self) -> std::cell::Ref<'_, Vec<Rc<Endpoint>>> {
        for Source { target, name } in &self.sources {
            if let Some(named) = name
                && named.version.replace(named.name.version()) != named.name.version()
            {
                self.follow(target, &named.name);
            }
        }
        self.members.borrow()
    }

    /// New addresses of a name join, and those that it has no longer leave.
    fn follow(&self, target: &Rc<Target>, name: &Rc<Name>) {
        let addresses = name.addresses();
        let mut members = self.members.borrow_mut();
        let is_of = |endpoint: &Endpoint| Rc::ptr_eq(&endpoint.target, target);
        members.retain(|endpoint| {
            let stays = !is_of(endpoint) || addresses.contains(&endpoint.address.ip());
            if !stays {
                endpoint.drain();
            }
            stays
        });
        for ip in addresses.iter() {
            let address = SocketAddr::new(*ip, target.address.port);
            if !members
                .iter()
                .any(|endpoint| is_of(endpoint) && endpoint.address == address)
            {
                members.push(Endpoint::new(target, address, Some(name)));
            }
        }
    }

    /// Is some name being asked for?
    pub(crate) fn is_looking(&self) -> bool {
        self.names().any(|name| name.is_looking())
    }

    /// Waits until a look-up of some name has ended, and so may have brought members.
    pub(crate) async fn looked(&self) {
        let mut looks: Vec<_> = self.names().map(|name| Box::pin(name.looked())).collect();
        std::future::poll_fn(|context| {
            let ended = looks.iter_mut().any(|looked| looked.as_mut().poll(context).is_ready());
            if ended {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }

    /// Why there are no members.
    pub(crate) fn why_empty(&self) -> String {
        let reasons: Vec<String> = self
            .names()
            .map(|name| {
                let why = name.why_unknown();
                format!("{}: {}", name.host(), why.as_deref().unwrap_or("no answer yet"))
            })
            .collect();
        reasons.join("; ")
    }

    fn names(&self) -> impl Iterator<Item = &Rc<Name>> {
        self.sources
            .iter()
            .filter_map(|source| Some(&source.name.as_ref()?.name))
    }
}
