//! The table in force as requests use it: services by host and path, their instances, and how tables change places
//! without a request slipping in between.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use http::StatusCode;

use crate::backend::{Backend, Place};
use crate::forward::Refusal;
use crate::metrics::{Figures, Metrics};
use crate::table::{Backend as Spec, RouteTable, TableError, is_prefix};

const NOTHING: Refusal = (StatusCode::NOT_FOUND, "nothing is served at this host and path");
const NONE_READY: Refusal =
    (StatusCode::SERVICE_UNAVAILABLE, "no instance of this service is ready; try again in a moment");

/// The table in force and those instances that have left it with requests in flight.
#[derive(Debug, Default)]
pub(crate) struct Switchboard {
    active: RwLock<Arc<Active>>,
    retired: Mutex<Vec<Weak<Backend>>>,
}

/// One table, ready for use.
#[derive(Debug, Default)]
struct Active {
    table: RouteTable,
    /// By host, the longest path first.
    by_host: HashMap<String, Vec<Arc<Service>>>,
    backends: HashMap<Spec, Arc<Backend>>,
}

/// Where the requests of one route go.
#[derive(Debug)]
pub(crate) struct Service {
    path: String,
    /// `project/environment/service`, for the access log.
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) figures: Figures,
    backends: Vec<Arc<Backend>>,
    turn: AtomicUsize,
}

/// The service that a request is for, if there is one, and a place at one of its instances.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) place: Result<Place, Refusal>,
}

impl Switchboard {
    pub(crate) fn table(&self) -> RouteTable {
        self.active().table.clone()
    }

    /// Puts a new table in force. When this returns, no request enters an instance that is not in it.
    pub(crate) fn swap(&self, table: RouteTable, metrics: &Metrics) -> Result<(), TableError> {
        table.check()?;
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        if table.version < active.table.version {
            return Err(TableError::Old { given: table.version, current: active.table.version });
        }
        metrics.table(table.version);
        let next = Active::new(table, &active.backends, metrics);
        let gone = active.backends.iter().filter(|(spec, _)| !next.backends.contains_key(*spec));
        // Known as retired before it leaves the table: at no moment is it in neither.
        let mut retired = self.retired();
        for (_, backend) in gone {
            retired.push(Arc::downgrade(backend));
            backend.retire();
        }
        drop(retired);
        *active = Arc::new(next);
        Ok(())
    }

    /// What is in flight at each instance that is in the table or has left it with requests still in flight. An id
    /// that came back while it still drained counts both.
    pub(crate) fn loads(&self) -> Vec<(String, usize)> {
        // The table first: an instance that retires in between is seen there, or among the retired, or in both.
        let active = self.active();
        let retired: Vec<Arc<Backend>> = {
            let mut retired = self.retired();
            retired.retain(|weak| weak.strong_count() > 0);
            retired.iter().filter_map(Weak::upgrade).collect()
        };
        let all: HashMap<*const Backend, &Arc<Backend>> =
            active.backends.values().chain(&retired).map(|b| (Arc::as_ptr(b), b)).collect();
        let mut loads: BTreeMap<String, usize> = BTreeMap::new();
        for backend in all.into_values() {
            *loads.entry(backend.id.clone()).or_default() += backend.in_flight();
        }
        loads.into_iter().collect()
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn sweep(&self) {
        self.retired().retain(|weak| weak.strong_count() > 0);
        for backend in self.active().backends.values() {
            backend.sweep();
        }
    }

    /// The instance with the least in flight, those not tried yet and not shunned first; equals take turns.
    pub(crate) fn choose(&self, host: &str, path: &str, tried: &[Arc<Backend>]) -> Chosen {
        let mut chosen = Chosen { service: None, place: Err(NOTHING) };
        // A table that changes between look-up and entry is looked up again; it cannot change for ever.
        for _ in 0..64 {
            let found = self.active().find(host, path);
            let Some(service) = found else { return Chosen { service: None, place: Err(NOTHING) } };
            let best = service.best(tried).cloned();
            let place = best.as_ref().and_then(Backend::enter);
            chosen = Chosen { service: Some(service), place: place.ok_or(NONE_READY) };
            if chosen.place.is_ok() || best.is_none() {
                return chosen;
            }
            std::thread::yield_now();
        }
        chosen
    }

    fn active(&self) -> Arc<Active> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Weak<Backend>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Active {
    /// Instances that stay keep their counts and connections. One that has retired never comes back: an instance
    /// that returns gets a fresh count, and its old one drains beside it.
    fn new(table: RouteTable, before: &HashMap<Spec, Arc<Backend>>, metrics: &Metrics) -> Self {
        let fresh = |spec: &Spec| Arc::new(Backend::new(spec.id.clone(), spec.address));
        let backends: HashMap<Spec, Arc<Backend>> = table
            .backends()
            .into_iter()
            .map(|spec| (spec.clone(), before.get(spec).cloned().unwrap_or_else(|| fresh(spec))))
            .collect();
        let mut by_host: HashMap<String, Vec<Arc<Service>>> = HashMap::new();
        for route in &table.routes {
            let service = Service {
                path: route.path.clone(),
                name: route.label.to_string(),
                timeout: Duration::from_millis(route.timeout_ms),
                figures: metrics.of(&route.label),
                backends: route.backends.iter().filter_map(|s| backends.get(s).cloned()).collect(),
                turn: AtomicUsize::new(0),
            };
            by_host.entry(route.host.clone()).or_default().push(Arc::new(service));
        }
        for services in by_host.values_mut() {
            services.sort_by_key(|s| std::cmp::Reverse(s.path.len()));
        }
        Self { table, by_host, backends }
    }

    fn find(&self, host: &str, path: &str) -> Option<Arc<Service>> {
        self.by_host.get(host)?.iter().find(|s| is_prefix(&s.path, path)).cloned()
    }
}

impl Service {
    fn best(&self, tried: &[Arc<Backend>]) -> Option<&Arc<Backend>> {
        let count = self.backends.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = (0..count).map(|i| &self.backends[(i.wrapping_add(turn)) % count]);
        order.min_by_key(|b| (tried.iter().any(|t| Arc::ptr_eq(t, b)), b.shunned(), b.in_flight()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::table::{Label, Route};

    fn table(version: u64, ids: &[&str]) -> RouteTable {
        let backends = ids.iter().map(|id| Spec { id: (*id).into(), address: ([127, 0, 0, 1], 1).into() });
        let label = Label { project: "p".into(), environment: "e".into(), service: "s".into() };
        let route =
            Route { host: "a".into(), path: "/".into(), label, backends: backends.collect(), timeout_ms: 1 };
        RouteTable { version, routes: vec![route] }
    }

    fn place(board: &Switchboard) -> Place {
        board.choose("a", "/", &[]).place.unwrap()
    }

    #[test]
    fn an_instance_that_comes_back_while_it_drains_is_counted_whole() {
        let (board, metrics) = (Switchboard::default(), Metrics::new());
        board.swap(table(1, &["x"]), &metrics).unwrap();
        let first = place(&board);
        board.swap(table(2, &["y"]), &metrics).unwrap();
        board.swap(table(3, &["x"]), &metrics).unwrap();
        let second = place(&board);
        board.swap(table(4, &["y"]), &metrics).unwrap();
        let load = |id: &str| board.loads().into_iter().find(|(i, _)| i == id).map_or(0, |(_, n)| n);
        assert_eq!(load("x"), 2, "both of its lives are draining");
        drop(second);
        assert_eq!(load("x"), 1);
        drop(first);
        assert_eq!(load("x"), 0);
    }

    #[test]
    fn one_that_was_found_before_a_swap_cannot_be_entered_after_it() {
        let (board, metrics) = (Switchboard::default(), Metrics::new());
        board.swap(table(1, &["x"]), &metrics).unwrap();
        let service = board.active().find("a", "/").unwrap();
        board.swap(table(2, &["y"]), &metrics).unwrap();
        assert!(service.best(&[]).unwrap().enter().is_none());
        assert!(board.loads().iter().all(|(_, n)| *n == 0), "a place that was refused is given back");
        assert_eq!(place(&board).backend().id, "y");
    }

    #[test]
    fn nobody_enters_an_instance_once_it_has_drained() {
        const SWAPS: usize = 3000;
        let (board, metrics) = (Switchboard::default(), Metrics::new());
        let ids: Vec<String> = (0..=SWAPS).map(|n| n.to_string()).collect();
        let stopped: Vec<AtomicBool> = (0..=SWAPS).map(|_| AtomicBool::new(false)).collect();
        let ended = AtomicBool::new(false);
        let is_stopped = |place: &Place| {
            let n: usize = place.backend().id.parse().unwrap();
            stopped[n].load(Ordering::SeqCst)
        };
        board.swap(table(0, &[&ids[0]]), &metrics).unwrap();
        std::thread::scope(|scope| {
            let enter = || {
                while !ended.load(Ordering::SeqCst) {
                    let place = place(&board);
                    let before = is_stopped(&place);
                    std::thread::yield_now();
                    assert!(!before && !is_stopped(&place), "{} has stopped", place.backend().id);
                }
            };
            let requests: Vec<_> = (0..6).map(|_| scope.spawn(enter)).collect();
            for n in 1..=SWAPS {
                board.swap(table(n as u64, &[&ids[n]]), &metrics).unwrap();
                while board.loads().iter().any(|(id, load)| *id == ids[n - 1] && *load > 0) {
                    std::thread::yield_now();
                }
                stopped[n - 1].store(true, Ordering::SeqCst);
            }
            ended.store(true, Ordering::SeqCst);
            for request in requests {
                request.join().unwrap();
            }
        });
    }

    #[test]
    fn the_least_loaded_is_chosen_and_equals_take_turns() {
        let (board, metrics) = (Switchboard::default(), Metrics::new());
        board.swap(table(1, &["x", "y", "z"]), &metrics).unwrap();
        let places: Vec<Place> = (0..9).map(|_| place(&board)).collect();
        assert!(board.loads().iter().all(|(_, n)| *n == 3), "{:?}", board.loads());
        drop(places);
        let ids = (0..30).map(|_| place(&board).backend().id.clone());
        let mut counts = BTreeMap::new();
        ids.for_each(|id| *counts.entry(id).or_insert(0) += 1);
        assert!(counts.values().all(|n| *n == 10), "{counts:?}");
    }

    #[test]
    fn the_longest_path_of_the_host_wins() {
        let (board, metrics) = (Switchboard::default(), Metrics::new());
        let mut routes = Vec::new();
        for (host, path) in [("a", "/"), ("a", "/api"), ("a", "/api/v2/"), ("b", "/x")] {
            let mut route = table(1, &["i"]).routes.remove(0);
            (route.host, route.path) = (host.into(), path.into());
            route.label.service = format!("{host}{path}");
            routes.push(route);
        }
        board.swap(RouteTable { version: 1, routes }, &metrics).unwrap();
        for (host, path, expected) in [
            ("a", "/", Some("p/e/a/")),
            ("a", "/apiary", Some("p/e/a/")),
            ("a", "/api", Some("p/e/a/api")),
            ("a", "/api/v2", Some("p/e/a/api/v2/")),
            ("a", "/api/v2/x", Some("p/e/a/api/v2/")),
            ("b", "/x/y", Some("p/e/b/x")),
            ("b", "/", None),
            ("c", "/", None),
        ] {
            let found = board.choose(host, path, &[]).service.map(|s| s.name.clone());
            assert_eq!(found.as_deref(), expected, "{host}{path}");
        }
    }

    #[test]
    fn what_cannot_be_served_says_which() {
        let (board, metrics) = (Switchboard::default(), Metrics::new());
        board.swap(table(1, &[]), &metrics).unwrap();
        assert_eq!(board.choose("a", "/", &[]).place.unwrap_err().0, 503);
        assert_eq!(board.choose("b", "/", &[]).place.unwrap_err().0, 404);
        assert!(matches!(board.swap(table(0, &[]), &metrics), Err(TableError::Old { .. })));
    }
}
