//! Every flag in every form that hey's users type.

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(|word| OsString::from(word.replace('_', " "))).collect()
}

fn flags(line: &str) -> Flags {
    match parse(words(line)) {
        Ok(Command::Run(flags)) => *flags,
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: &str) -> String {
    match parse(words(line)) {
        Err(error) => error.to_string(),
        Ok(other) => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Flags::command().debug_assert();
}

#[test]
fn gos_forms_of_a_flag_are_the_same() {
    for line in
        ["-n 7 u", "-n=7 u", "--n 7 u", "--n=7 u", "--calls 7 u", "-calls=7 u", "u -n 7", "-n7 u"]
    {
        let flags = flags(line);
        assert_eq!((flags.calls, flags.url.as_deref()), (Some(7), Some("u")), "{line}");
    }
    for line in ["-h2 u", "--h2 u", "-h2=true u", "--h2=1 u", "-h2=T u"] {
        assert!(flags(line).http2, "{line}");
    }
    assert!(!flags("-h2=false u").http2);
}

#[test]
fn every_flag_of_hey_is_known() {
    let flags = flags(
        "-n 10 -c 5 -q 2.5 -z 10s -o csv -m put -H X-Sleep:_300ms -H A:b -t 3 -A */* -d -body- -T text/plain \
         -a me:secret:x -x 127.0.0.1:3128 -h2 -host a.test -disable-compression -disable-keepalive \
         -disable-redirects -cpus 2 http://h/",
    );
    assert_eq!((flags.calls, flags.workers, flags.each), (Some(10), Some(5), Some(2.5)));
    assert_eq!(flags.duration, Some(Duration::from_secs(10)));
    assert_eq!(flags.output, Output::Csv);
    assert_eq!(flags.method, Some(http::Method::PUT));
    assert_eq!(flags.headers.len(), 2);
    assert_eq!(flags.headers[0].1, "300ms");
    assert_eq!(flags.timeout, Some(Duration::from_secs(3)));
    assert_eq!(flags.body.as_deref(), Some("-body-"));
    assert_eq!(
        flags.auth.as_ref().map(|login| login.header()),
        Some(http::HeaderValue::from_static("Basic bWU6c2VjcmV0Ong="))
    );
    assert_eq!(
        flags.proxy.as_ref().map(ToString::to_string).as_deref(),
        Some("http://127.0.0.1:3128/")
    );
    assert!(
        flags.http2
            && flags.disable_compression
            && flags.disable_keepalive
            && flags.disable_redirects
    );
    assert_eq!(
        (flags.cpus, flags.host.as_ref()),
        (Some(2), Some(&http::HeaderValue::from_static("a.test")))
    );
    assert_eq!(flags.url.as_deref(), Some("http://h/"));
}

#[test]
fn a_value_may_look_like_a_flag() {
    assert_eq!(flags("-d -n u").body.as_deref(), Some("-n"));
    assert_eq!(flags("-d=-5 u").body.as_deref(), Some("-5"));
    assert_eq!(flags("-- -u").url.as_deref(), Some("-u"));
}

#[test]
fn ours_are_known_in_the_same_forms() {
    let flags = flags(
        "--profile steps:0/s@10s,5/s@20s --expect p99<1s -expect=errors=0 -g http://g --watch-after 5s \
         --report out.html --output=json -seed 9 --yes -k --cacert ca.pem --metrics :9100 --live never u",
    );
    assert_eq!(flags.profile.as_deref(), Some("steps:0/s@10s,5/s@20s"));
    assert_eq!(flags.expect, ["p99<1s", "errors=0"]);
    assert_eq!((flags.seed, flags.output, flags.live), (9, Output::Json, Live::Never));
    assert_eq!(flags.metrics.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:9100"));
    assert!(flags.yes && flags.insecure);
}

#[test]
fn what_cannot_be_meant_is_said_in_one_sentence() {
    let cases = [
        ("", "nobody to call"),
        ("-n", "-n needs a value"),
        ("-n x u", "for -n (--calls): \"x\" is not a whole number above 0"),
        ("-n 0 u", "must be at least 1"),
        ("-c 0 u", "must be at least 1"),
        ("-z 10 u", "\"10\" is not a duration such as 30s"),
        ("-t soon u", "neither seconds, such as 20, nor a duration"),
        ("-q -1 u", "must be between 0 and 10 million"),
        ("-o xml u", "'xml'"),
        ("-H nocolon u", "is not a header such as 'X-Sleep: 300ms'"),
        ("-m GE(T u", "is not a method"),
        ("-a secret u", "it must be user:password"),
        ("-x socks5://h u", "only http:// proxies"),
        ("-h2=maybe u", "-h2=maybe is on or off"),
        ("--metrics 9100 u", "is not an address such as 127.0.0.1:9100"),
        ("--profil x u", "unexpected argument '--profil'"),
        ("-disable-keepalives u", "unexpected argument"),
        ("-d x -D y u", "cannot be used with"),
        ("--rate 5/s --profile 5/s u", "cannot be used with"),
        ("--rate 5/s -q 5 u", "the argument '--rate <RATE>' cannot be used with -q (--each)"),
        ("u v", "one URL is called, and \"v\" is a second"),
    ];
    for (line, part) in cases {
        let error = error(line);
        assert!(error.contains(part), "{line}: {error}");
        assert!(!error.contains('\n') && !error.contains("Usage"), "{line}: {error}");
    }
    assert!(!error("-a secret u").contains("secret u"));
}

#[test]
fn help_begins_with_examples_and_knows_every_flag() {
    let Ok(Command::Help(help)) = parse(words("--help")) else { panic!("help") };
    assert!(help.trim_start().starts_with("Examples:"), "{help}");
    for arg in Flags::command().get_arguments() {
        let long = arg.get_long().map_or("[URL]".to_owned(), |long| format!("--{long}"));
        assert!(help.contains(&long), "{long}");
    }
    assert!(matches!(parse(words("-h")), Ok(Command::Help(_))));
}

#[test]
fn the_shown_command_keeps_secrets() {
    let words = words(
        "-a me:secret -a=me:secret -H Authorization:_Bearer_secret -H=Cookie:_secret -H X-A:_b -d it's http://me:secret@h/x?a=1",
    );
    assert_eq!(
        shown(&words),
        r#"tidegate load -a 'me:***' '-a=me:***' -H 'Authorization: ***' '-H=Cookie: ***' -H 'X-A: b' -d 'it'\''s' 'http://***@h/x?a=1'"#
    );
}

proptest::proptest! {
    #[test]
    fn no_words_panic(words in proptest::collection::vec("(-{0,2}[a-zA-Z0-9=:/]{0,8}|\\PC{0,8})", 0..6)) {
        let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        let _ = shown(&words);
        let _ = parse(words);
    }
}
