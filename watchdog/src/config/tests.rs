//! What the environment means, and that no environment panics.

use proptest::prelude::*;

use super::*;

fn of(pairs: &[(&str, &str)]) -> Result<Config, BadVar> {
    let vars: Vars =
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Config::from_vars(&vars)
}

#[test]
fn the_mode_follows_from_what_is_set() {
    for (pairs, mode) in [
        (&[("fprocess", "cat")][..], Mode::Streaming),
        (&[("fprocess", "cat"), ("mode", "")], Mode::Streaming),
        (&[("fprocess", "cat"), ("combine_output", "false")], Mode::Classic),
        (&[("fprocess", "cat"), ("TIDEGATE_CONTROL", "stdin")], Mode::Classic),
        (
            &[("fprocess", "cat"), ("TIDEGATE_CONTROL", "stdin"), ("mode", "streaming")],
            Mode::Streaming,
        ),
        (&[("mode", "static")], Mode::Static),
    ] {
        assert_eq!(of(pairs).unwrap().mode, mode, "{pairs:?}");
    }
}

#[test]
fn timeouts_default_by_mode() {
    let classic = of(&[("fprocess", "cat"), ("mode", "classic"), ("write_timeout", "3s")]);
    let classic = classic.unwrap().timeouts;
    assert_eq!((classic.exec, classic.write), (None, Some(Duration::from_secs(3))));
    assert_eq!(classic.healthcheck_interval, Duration::from_secs(3));
    let streaming = of(&[("fprocess", "cat"), ("healthcheck_interval", "0")]).unwrap().timeouts;
    assert_eq!(streaming.exec, Some(Duration::from_secs(30)));
    assert_eq!(streaming.healthcheck_interval, Duration::ZERO);
    let replica = of(&[("fprocess", "cat"), ("TIDEGATE_CONTROL", "stdin")]).unwrap().timeouts;
    assert_eq!(replica.healthcheck_interval, Duration::ZERO);
}

#[test]
fn aliases_win_and_upstreams_are_read() {
    let config = of(&[
        ("fprocess", "a"),
        ("function_process", "b c"),
        ("mode", "http"),
        ("upstream_url", "http://one:1"),
        ("http_upstream_url", "http://[::1]:5000/pre/"),
    ])
    .unwrap();
    assert_eq!(config.fprocess.unwrap().program, "b");
    let upstream = config.upstream.unwrap();
    assert_eq!(
        (upstream.host.as_str(), upstream.port, upstream.prefix.as_str()),
        ("::1", 5000, "/pre")
    );
    assert_eq!(upstream.url(), "http://[::1]:5000/pre");
    assert_eq!(Upstream::parse("https://x"), None);
    assert_eq!(Upstream::parse("127.0.0.1:80"), None);
}

#[test]
fn what_would_be_unsafe_to_ignore_is_refused() {
    for (name, text) in [
        ("jwt_auth", "true"),
        ("mode", "inproc"),
        ("write_timeout", "0"),
        ("static_path", ""),
        ("ready_path", "no-slash"),
        ("TIDEGATE_CONTROL", "fd3"),
        ("TIDEGATE_LISTEN", "unix:relative"),
        ("TIDEGATE_LOCAL", "/a/path"),
        ("TIDEGATE_LOCAL", "@"),
    ] {
        let bad = of(&[("fprocess", "cat"), (name, text)]).unwrap_err();
        assert!(bad.to_string().starts_with(name), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_environment_panics(text in any::<String>(), mode in "(classic|streaming|http|static)?") {
        for name in [
            "fprocess", "port", "TIDEGATE_LISTEN", "TIDEGATE_LOCAL", "TIDEGATE_METRICS", "upstream_url",
            "ready_path",
            "content_type", "log_buffer_size", "write_timeout", "healthcheck_interval",
        ] {
            let _ = of(&[("fprocess", "cat"), ("mode", &mode), (name, &text)]);
        }
    }

    #[test]
    fn an_upstream_reads_back(port in 1_u16.., prefix in "(/[a-z0-9]{1,8}){0,3}") {
        let upstream = Upstream { host: "127.0.0.1".into(), port, prefix };
        prop_assert_eq!(Upstream::parse(&upstream.url()), Some(upstream));
    }

    #[test]
    fn an_address_reads_back(port in any::<u16>(), path in "/[a-zA-Z0-9/._-]{0,30}") {
        prop_assert_eq!(Address::parse(&port.to_string()), Some(Address::Port(port)));
        prop_assert_eq!(Address::parse(&format!("unix:{path}")), Some(Address::Unix(path.into())));
        let tcp = Address::Tcp(([127, 0, 0, 1], port).into());
        prop_assert_eq!(Address::parse(&tcp.to_string()), Some(tcp));
    }
}
