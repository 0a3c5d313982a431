//! What waits must agree with what queueing theory says of it.

mod support;

use support::{policy, simulate};
use tidegate_simulator::generate::generate;

/// Erlang's C: the share that waits, and from it the mean wait, of M/M/c.
fn mean_wait(rate: f64, service: f64, servers: u32) -> f64 {
    let offered = rate * service;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..servers {
        term *= offered / f64::from(k);
        sum += term;
    }
    let last = term * offered / f64::from(servers);
    let use_ = offered / f64::from(servers);
    let waits = last / (1.0 - use_) / (sum + last / (1.0 - use_));
    waits * service / (f64::from(servers) * (1.0 - use_))
}

#[test]
fn the_formula_is_the_known_one() {
    // M/M/1 with use 0.8: 0.8 / (1 - 0.8) services.
    assert!((mean_wait(8.0, 0.1, 1) - 0.4).abs() < 1e-9);
}

#[test]
fn the_mean_wait_is_that_of_m_m_c() {
    for (servers, rate) in [("1", 7.0), ("2", 16.0), ("5", 45.0), ("20", 190.0)] {
        let trace = generate(&format!("poisson?rate={rate}&takes=exp:100ms&duration=6h"))
            .expect("a good generator");
        let fixed = policy("tidegate", &[("min", servers), ("max", servers)], Some(1));
        let report = simulate(&trace, &fixed, "");
        let wanted = mean_wait(rate, 0.1, servers.parse().expect("a number"));
        let found = report.wait.mean;
        assert!((found / wanted - 1.0).abs() < 0.12, "{servers}: {found} for {wanted}");
        let work = rate * 0.1 * report.replica_seconds / servers.parse::<f64>().expect("a number");
        assert!((report.busy_call_seconds / work - 1.0).abs() < 0.02);
    }
}
