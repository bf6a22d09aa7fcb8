//! The counters in Prometheus' text form; the format itself is prometheus-client's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{BUCKETS, CACHE_OUTCOMES, CLASSES, PlaneStats, REFUSALS, RouteStats};

/// What a scrape reads: one data plane with its routes as they are now.
pub struct Exposition {
    /// `gateway`, `inbound` or `outbound`.
    pub plane: &'static str,
    /// The plane's own counters.
    pub stats: Arc<PlaneStats>,
    /// Name, service and counters of every route.
    pub routes: Vec<(Arc<str>, Arc<str>, Arc<RouteStats>)>,
    /// The newest revision of the control plane that is in force, 0 without one.
    pub revision: u64,
    /// Entries and bytes in the response cache.
    pub cache: (u64, u64),
    /// Spans that could not be exported.
    pub spans_dropped: u64,
}

/// The text of a scrape.
pub fn encode(planes: Vec<Exposition>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Planes(planes)));
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

struct Planes(Vec<Exposition>);

impl fmt::Debug for Planes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Planes({})", self.0.len())
    }
}

type Row<'a> = (Vec<(&'static str, &'a str)>, u64);
/// The type of exemplars' labels, of which there are none.
type Labels = Vec<(&'static str, &'static str)>;

impl Collector for Planes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Writer { encoder: &mut encoder };
        out.counters(
            "portreeve_requests",
            "Requests finished, by route and class of status",
            self.classes(),
        )?;
        out.counters("portreeve_cache_lookups", "Look-ups in the response cache", self.cache_outcomes())?;
        out.counters("portreeve_retries", "Attempts beyond the first", self.retries())?;
        self.durations(&mut out)?;
        out.counters("portreeve_connections_refused", "Connections turned away, by reason", self.refusals())?;
        out.counters(
            "portreeve_relayed_bytes",
            "Bytes passed on by connections that are not HTTP",
            self.per_plane(&["from_clients", "to_clients"], "direction", |stats| &stats.relayed),
        )?;
        for (name, help, read) in PLANE_COUNTERS {
            let rows = self.0.iter().map(|plane| (vec![("plane", plane.plane)], read(plane))).collect();
            out.counters(name, help, rows)?;
        }
        for (name, help, read) in PLANE_GAUGES {
            out.gauges(
                name,
                help,
                self.0.iter().map(|plane| (vec![("plane", plane.plane)], read(plane))).collect(),
            )?;
        }
        Ok(())
    }
}

type Read = fn(&Exposition) -> u64;

const PLANE_COUNTERS: [(&str, &str, Read); 6] = [
    ("portreeve_relays", "Connections that are not HTTP, passed on to instances", |p| load(&p.stats.relays)),
    ("portreeve_attempts_failed", "Attempts at instances that failed", |p| load(&p.stats.attempts_failed)),
    ("portreeve_reloads", "Configurations put in force", |p| load(&p.stats.reloads)),
    ("portreeve_reloads_refused", "Configurations refused", |p| load(&p.stats.reloads_refused)),
    ("portreeve_access_log_dropped", "Access log lines dropped", |p| load(&p.stats.log_dropped)),
    ("portreeve_spans_dropped", "Spans that were not exported", |p| p.spans_dropped),
];

const PLANE_GAUGES: [(&str, &str, Read); 4] = [
    ("portreeve_connections", "Open client connections", |p| {
        u64::try_from(p.stats.connections.load(Ordering::Relaxed)).unwrap_or(0)
    }),
    ("portreeve_revision", "Newest revision of the control plane in force", |p| p.revision),
    ("portreeve_cache_entries", "Answers in the response cache", |p| p.cache.0),
    ("portreeve_cache_bytes", "Bytes in the response cache", |p| p.cache.1),
];

fn load(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Planes {
    fn classes(&self) -> Vec<Row<'_>> {
        self.per_route(&CLASSES, "status", |cells, index| load(&cells.classes[index]))
    }

    fn cache_outcomes(&self) -> Vec<Row<'_>> {
        self.per_route(&CACHE_OUTCOMES, "outcome", |cells, index| load(&cells.cache[index]))
    }

    fn retries(&self) -> Vec<Row<'_>> {
        self.per_route(&["other_instance"], "on", |cells, _| load(&cells.retries))
    }

    fn refusals(&self) -> Vec<Row<'_>> {
        self.per_plane(&REFUSALS, "reason", |stats| &stats.connections_refused)
    }

    /// A row for each plane and value of `label`.
    fn per_plane<'a>(
        &'a self,
        values: &[&'static str],
        label: &'static str,
        read: impl Fn(&'a PlaneStats) -> &'a [std::sync::atomic::AtomicU64],
    ) -> Vec<Row<'a>> {
        let rows = self.0.iter().flat_map(|plane| {
            let counted = values.iter().zip(read(&plane.stats));
            counted.map(|(value, count)| (vec![("plane", plane.plane), (label, *value)], load(count)))
        });
        rows.collect()
    }

    /// A row for each route and value of `label`; rows that would say 0 are left out.
    fn per_route<'a>(
        &'a self,
        values: &[&'static str],
        label: &'static str,
        read: impl Fn(&super::RouteCells, usize) -> u64,
    ) -> Vec<Row<'a>> {
        let mut rows = Vec::new();
        for plane in &self.0 {
            for (route, service, stats) in &plane.routes {
                for (index, value) in values.iter().enumerate() {
                    let sum: u64 = stats.cells().map(|cells| read(cells, index)).sum();
                    if sum > 0 {
                        let labels = vec![
                            ("plane", plane.plane),
                            ("route", &**route),
                            ("service", &**service),
                            (label, value),
                        ];
                        rows.push((labels, sum));
                    }
                }
            }
        }
        rows
    }

    fn durations(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let (name, help) =
            ("portreeve_request_duration_seconds", "From a request's head to its answer's last byte");
        let mut family = out.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for plane in &self.0 {
            for (route, _, stats) in &plane.routes {
                let count_in =
                    |index: usize| stats.cells().map(|cells| load(&cells.buckets[index])).sum::<u64>();
                let count: u64 = (0..=BUCKETS.len()).map(count_in).sum();
                if count == 0 {
                    continue;
                }
                let bound =
                    |index: usize| BUCKETS.get(index).map_or(f64::INFINITY, |micros| *micros as f64 / 1e6);
                let buckets: Vec<(f64, u64)> =
                    (0..=BUCKETS.len()).map(|index| (bound(index), count_in(index))).collect();
                let seconds = stats.cells().map(|cells| load(&cells.micros)).sum::<u64>() as f64 / 1e6;
                let labels = vec![("plane", plane.plane), ("route", &**route)];
                family.encode_family(&labels)?.encode_histogram::<Labels>(seconds, count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

struct Writer<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
}

impl Writer<'_, '_> {
    fn counters(&mut self, name: &str, help: &str, rows: Vec<Row<'_>>) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauges(&mut self, name: &str, help: &str, rows: Vec<Row<'_>>) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
