//! Metrics as Prometheus reads them (text format 0.0.4).

use core::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::Held;
use super::answer::Problem;
use crate::run::lock;

pub(super) async fn text(State(shown): State<Held>) -> Result<impl IntoResponse, Problem> {
    let counters = shown.buffer.state().read(|read| read.counters()).await?;
    let mut out = String::new();
    let mut line = |name: &str, labels: &[(&str, &str)], value: f64| {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(out, "hospital_gateway_{name}{{{}}} {value}", labels.join(","));
    };
    let usage = *lock(&shown.usage);
    line("buffer_bytes", &[], usage.bytes as f64);
    line("buffer_limit_bytes", &[], usage.limit as f64);
    line("buffer_full", &[], f64::from(u8::from(shown.buffer.is_full())));
    line("capture_bytes_written_total", &[], shown.buffer.written() as f64);
    for (name, stats) in lock(&shown.feeds).iter() {
        let (view, feed) = (stats.view(), [("feed", name.as_str())]);
        line("feed_connections", &feed, view.connections as f64);
        line("feed_received_total", &feed, view.received as f64);
        line("feed_acknowledged_total", &feed, view.acknowledged as f64);
        line("feed_broken_total", &feed, view.broken as f64);
        line("feed_junk_bytes_total", &feed, view.junk_bytes as f64);
        for (why, n) in &view.refused {
            line("feed_refused_total", &[("feed", name.as_str()), ("why", why.code())], *n as f64);
        }
        let mut sum = 0;
        for (bound, n) in &view.latency.buckets {
            sum += n;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |micros| (micros as f64 / 1e6).to_string());
            line("feed_ack_seconds_bucket", &[("feed", name.as_str()), ("le", &bound)], sum as f64);
        }
        line("feed_ack_seconds_count", &feed, sum as f64);
    }
    for (name, of, value) in &counters {
        if let Some(state) = name.strip_prefix("delivery-") {
            line("deliveries", &[("destination", of.as_str()), ("state", state)], *value as f64);
        } else if let Some(outcome) = name.strip_prefix("exception-") {
            line("captures_not_normal", &[("feed", of.as_str()), ("outcome", outcome)], *value as f64);
        }
    }
    for (name, status) in lock(&shown.destinations).iter() {
        let status = lock(status).clone();
        let destination = [("destination", name.as_str())];
        line("destination_in_flight", &destination, status.in_flight as f64);
        line("destination_retried_total", &destination, status.retried as f64);
        line("destination_sent_bytes_total", &destination, status.bytes as f64);
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], out))
}
