//! OpenMetrics text to the Prometheus text format 0.0.4.
//!
//! The two differ in the comments: 0.0.4 names a counter with its `_total`, knows no `UNIT` and no `EOF`,
//! and calls `untyped` what OpenMetrics calls `unknown`.

/// A counter whose name OpenFaaS fixed before counters had to end in `_total`: OpenMetrics only takes it
/// as of unknown type.
pub(super) const STARTED: &str = "gateway_function_invocation_started";

/// Rewrites the whole text.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 64);
    // HELP comes before TYPE, which alone knows the final name.
    let mut help: Option<(&str, &str)> = None;
    for line in text.split_inclusive('\n') {
        let Some(comment) = line.strip_prefix("# ") else {
            out.push_str(line);
            continue;
        };
        let mut words = comment.trim_end_matches('\n').splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(name), text) => help = Some((name, text.unwrap_or_default())),
            (Some("TYPE"), Some(name), Some(kind)) => {
                write_family(&mut out, name, kind, help.take());
            }
            _ => {}
        }
    }
    out
}

fn write_family(out: &mut String, name: &str, kind: &str, help: Option<(&str, &str)>) {
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "unknown" if name == STARTED => ("", "counter"),
        "unknown" => ("", "untyped"),
        "info" => ("_info", "gauge"),
        kind => ("", kind),
    };
    if let Some((_, text)) = help.filter(|(of, _)| *of == name) {
        for part in ["# HELP ", name, suffix, " ", text, "\n"] {
            out.push_str(part);
        }
    }
    for part in ["# TYPE ", name, suffix, " ", kind, "\n"] {
        out.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_rewritten_and_samples_kept() {
        let open_metrics = "# HELP calls Calls made.\n# TYPE calls counter\ncalls_total{a=\"# TYPE\"} 1\n\
            # HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\nwait_seconds_sum 2.0\n\
            # HELP gateway_function_invocation_started S.\n# TYPE gateway_function_invocation_started unknown\ngateway_function_invocation_started 3\n# EOF\n";
        let text = "# HELP calls_total Calls made.\n# TYPE calls_total counter\ncalls_total{a=\"# TYPE\"} 1\n\
            # HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\nwait_seconds_sum 2.0\n\
            # HELP gateway_function_invocation_started S.\n# TYPE gateway_function_invocation_started counter\ngateway_function_invocation_started 3\n";
        assert_eq!(from_open_metrics(open_metrics), text);
    }
}
