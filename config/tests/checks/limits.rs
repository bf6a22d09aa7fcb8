//! Each limit at the ends of its range, and sizes against each other.

use portreeve_config::load_document;

use crate::check_all;

const FAULTS: [(&str, &str, &str); 34] = [
    ("header_count: 0", "header_count", "more than 0"),
    ("header_count: 10001", "header_count", "at most 10000"),
    ("header_bytes: 0B", "header_bytes", "more than 0"),
    ("header_bytes: 1GiB", "header_bytes", "at most 16MiB"),
    ("header_line: 0B", "header_line", "more than 0"),
    ("header_line: 33KiB", "header_line", "more than `header_bytes`, which is 32KiB"),
    ("target_bytes: 0B", "target_bytes", "more than 0"),
    ("target_bytes: 33KiB", "target_bytes", "more than `header_bytes`"),
    ("header_timeout: 0s", "header_timeout", "longer than nothing"),
    ("idle_timeout: 0s", "idle_timeout", "longer than nothing"),
    ("idle_timeout: 25h", "idle_timeout", "at most 1day"),
    ("min_rate: 2GiB", "min_rate", "at most 1GiB"),
    ("rate_window: 0s", "rate_window", "longer than nothing"),
    ("rate_window: 2h", "rate_window", "at most 1h"),
    ("request_age: 0s", "request_age", "longer than nothing"),
    ("tunnel_age: 0s", "tunnel_age", "longer than nothing"),
    ("connection_age: 0s", "connection_age", "longer than nothing"),
    ("connection_age: 9000y", "connection_age", "too long"),
    ("requests_per_connection: 0", "requests_per_connection", "more than 0"),
    ("connections: 0", "connections", "more than 0"),
    ("connections: 10000001", "connections", "at most 10000000"),
    ("connections_per_client: 0", "connections_per_client", "more than 0"),
    ("buffers: 0B", "buffers", "at least `header_bytes`, 32KiB"),
    ("connect_timeout: 0s", "connect_timeout", "longer than nothing"),
    ("upstream_idle: 2d", "upstream_idle", "at most 1day"),
    ("drain: 2d", "drain", "at most 1day"),
    ("http2: {streams: 0}", "http2.streams", "more than 0"),
    ("http2: {streams: 10001}", "http2.streams", "at most 10000"),
    ("http2: {stream_window: 32KiB}", "http2.stream_window", "at least 65535B"),
    ("http2: {connection_window: 2GiB}", "http2.connection_window", "at most 2147483647B"),
    ("http2: {stream_window: 2MiB}", "http2.connection_window", "at least `stream_window`, 2MiB"),
    ("http2: {reset_streams: 0}", "http2.reset_streams", "more than 0"),
    ("http2: {faulty_streams: 0}", "http2.faulty_streams", "more than 0"),
    ("http2: {idle_frames: 0}", "http2.idle_frames", "more than 0"),
];

#[test]
fn limits_outside_of_their_range_are_refused_for_gateways_and_sidecars() {
    for (written, path, words) in FAULTS {
        let place = format!("limits.{path}");
        for head in ["kind: gateway\n", "kind: sidecar\nservice: a\napp: 127.0.0.1:1\n"] {
            check_all(&format!("{head}limits: {{{written}}}"), &[("", &place, words)]);
        }
    }
}

#[test]
fn what_means_something_passes() {
    for written in [
        "min_rate: 0B",
        "drain: 0s",
        "request_age: 5m",
        "header_bytes: 16MiB",
        "header_bytes: 1KiB, header_line: 1KiB, target_bytes: 1KiB, buffers: 1KiB",
        "connections: 10, connections_per_client: 100",
        "http2: {stream_window: 65535B, connection_window: 65535B, streams: 1, idle_frames: 1}",
    ] {
        let text = format!("kind: gateway\nlimits: {{{written}}}");
        load_document("file.yaml", &text).unwrap_or_else(|error| panic!("{written}: {error}"));
    }
}
