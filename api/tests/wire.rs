//! JSON as clients see it: order, omissions, tolerance.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_api::{
    AlertWebhook, DeleteFunctionRequest, FunctionDeployment, FunctionNamespace, FunctionResources,
    FunctionStatus, GatewayInfo, Place, ProviderInfo, ScaleServiceRequest, Secret, VersionInfo,
};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("wire types have a JSON form")
}

#[test]
fn a_status_at_zero_leaves_out_counts_and_keeps_labels_and_annotations() {
    let status = FunctionStatus { name: "cat".into(), image: "i".into(), ..Default::default() };
    assert_eq!(
        json(&status),
        r#"{"name":"cat","image":"i","labels":{},"annotations":{},"createdAt":"0001-01-01T00:00:00Z"}"#
    );
}

#[test]
fn a_whole_status_is_written_in_the_documented_order() {
    let status = FunctionStatus {
        name: "cat".into(),
        image: "i".into(),
        namespace: "openfaas-fn".into(),
        env_process: "cat".into(),
        env_vars: map(&[("A", "1")]),
        constraints: vec!["x=y".into()],
        secrets: vec!["s".into()],
        labels: map(&[("faas_function", "cat")]),
        annotations: map(&[("topic", "t")]),
        limits: Some(FunctionResources {
            memory: Some("5Mi".into()),
            cpu: Some("100m".into()),
            ..Default::default()
        }),
        requests: Some(FunctionResources { cpu: Some("1".into()), ..Default::default() }),
        read_only_root_filesystem: true,
        invocation_count: 7,
        replicas: 2,
        available_replicas: 1,
        created_at: "2026-11-21T10:00:00Z".into(),
        usage: None,
        replica_status: Vec::new(),
        events: Vec::new(),
    };
    let text = json(&status);
    assert_eq!(
        text,
        concat!(
            r#"{"name":"cat","image":"i","namespace":"openfaas-fn","envProcess":"cat","envVars":{"A":"1"},"#,
            r#""constraints":["x=y"],"secrets":["s"],"labels":{"faas_function":"cat"},"annotations":{"topic":"t"},"#,
            r#""limits":{"memory":"5Mi","cpu":"100m"},"requests":{"cpu":"1"},"readOnlyRootFilesystem":true,"#,
            r#""invocationCount":7,"replicas":2,"availableReplicas":1,"createdAt":"2026-11-21T10:00:00Z"}"#
        )
    );
    assert_eq!(FunctionStatus::from_json(text.as_bytes()).expect("reads back"), status);
}

#[test]
fn keys_match_in_any_case_null_is_nothing_and_the_last_duplicate_wins() {
    let body = br#"{"SERVICE":"first","image":null,"EnvProcess":"cat","labels":{"A":null,"b":"B"},"network":"x",
        "Service":"cat","annotations":null,"limits":{"MEMORY":"1Mi","cpu":null},"readonlyrootfilesystem":true,"secrets":[null,"s"]}"#;
    let read = FunctionDeployment::from_json(body).expect("Go would read this");
    assert_eq!(read.service, "cat");
    assert_eq!(read.image, "");
    assert_eq!(read.env_process, "cat");
    assert_eq!(read.labels, map(&[("A", ""), ("b", "B")]));
    assert_eq!(
        read.limits,
        Some(FunctionResources { memory: Some("1Mi".into()), ..Default::default() })
    );
    assert!(read.read_only_root_filesystem);
    assert_eq!(read.secrets, ["", "s"]);
}

#[test]
fn a_scale_request_takes_whole_numbers_only_and_knows_when_there_is_none() {
    let read = |body: &str| ScaleServiceRequest::from_json(body.as_bytes());
    assert_eq!(read(r#"{"serviceName":"a","replicas":0}"#).expect("fine").replicas, Some(0));
    assert_eq!(read(r#"{"serviceName":"a"}"#).expect("fine").replicas, None);
    for bad in
        ["", "x", "[]", "3", r#"{"replicas":-1}"#, r#"{"replicas":1.5}"#, r#"{"replicas":"2"}"#]
    {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn raw_bytes_of_a_secret_win_over_its_text_and_neither_is_printed() {
    let both =
        Secret::from_json(br#"{"name":"s","value":"text","rawValue":"/wA="}"#).expect("fine");
    assert_eq!(both.bytes(), [0xff, 0x00]);
    let text = Secret::from_json(br#"{"name":"s","value":"text","rawValue":null}"#).expect("fine");
    assert_eq!(text.bytes(), b"text");
    assert!(!format!("{both:?}").contains("text"));
    let bad = Secret::from_json(br#"{"rawValue":"%%secret%%"}"#).expect_err("no base64");
    assert!(!bad.to_string().contains("%%"), "{bad}");
}

#[test]
fn namespaces_infos_deletes_and_alerts_have_their_documented_keys() {
    assert_eq!(
        json(&FunctionNamespace { name: "a".into(), ..Default::default() }),
        r#"{"name":"a"}"#
    );
    let version = VersionInfo { sha: "s".into(), release: "r".into(), ..Default::default() };
    let info = GatewayInfo {
        provider: Some(ProviderInfo {
            provider: "p".into(),
            version: Some(version.clone()),
            orchestration: "o".into(),
        }),
        version: Some(version),
        arch: "x86_64".into(),
    };
    assert_eq!(
        json(&info),
        r#"{"provider":{"provider":"p","version":{"sha":"s","release":"r"},"orchestration":"o"},"version":{"sha":"s","release":"r"},"arch":"x86_64"}"#
    );
    assert_eq!(
        json(&DeleteFunctionRequest { function_name: "f".into(), ..Default::default() }),
        r#"{"functionName":"f"}"#
    );
    let alert = br#"{"receiver":"scale-up","status":"firing","alerts":[{"status":"resolved","labels":{"function_name":"a.b","service":"gateway"}}]}"#;
    let alert = AlertWebhook::from_json(alert).expect("an alert");
    assert_eq!(alert.alerts[0].labels.function_name, "a.b");
    assert!(!alert.alerts[0].is_firing());
}

#[test]
fn a_check_finds_everything_at_once_and_names_each_place() {
    let deployment = FunctionDeployment {
        service: "../x".into(),
        namespace: "A".into(),
        env_vars: map(&[("a=b", "")]),
        labels: map(&[("com.openfaas.scale.min", "many"), ("com.openfaas.scale.max", "-1")]),
        limits: Some(FunctionResources { memory: Some("128MB".into()), ..Default::default() }),
        ..Default::default()
    };
    let wrong = deployment.check().expect_err("all of it is wrong");
    let places: Vec<_> = wrong.into_iter().map(|remark| remark.place).collect();
    assert_eq!(
        places,
        [
            Place::Name,
            Place::Namespace,
            Place::Image,
            Place::Env("a=b".into()),
            Place::Limit("memory".into()),
            Place::Label("com.openfaas.scale.min".into()),
            Place::Label("com.openfaas.scale.max".into()),
        ]
    );
}

#[test]
fn a_limit_of_calls_is_a_whole_number() {
    let refused = |text: &str| {
        let deployment = FunctionDeployment {
            service: "cat".into(),
            image: "cat:1".into(),
            env_vars: map(&[("max_inflight", text)]),
            ..Default::default()
        };
        let wrong = deployment.check().err().unwrap_or_default();
        let said = wrong.iter().map(|remark| (&remark.place, remark.text.clone()));
        let said: Vec<_> = said.collect();
        match said.as_slice() {
            [] => false,
            [(Place::Env(name), why)] => {
                assert_eq!(name, "max_inflight");
                assert!(why.contains(&format!("max_inflight={text:?}")), "{why}");
                assert!(why.contains("a whole number from 0 (no limit) to 4294967295"), "{why}");
                true
            }
            more => panic!("{more:?}"),
        }
    };
    for text in ["", "0", "1", "4294967295"] {
        assert!(!refused(text), "{text:?}");
    }
    for text in ["-1", "1.5", "many", "4294967296", " 5", "5 ", "0x5"] {
        assert!(refused(text), "{text:?}");
    }
}

#[test]
fn what_nothing_honours_is_a_warning_by_name() {
    let deployment = FunctionDeployment {
        service: "a".into(),
        image: "i".into(),
        labels: map(&[("com.openfaas.profile", "x")]),
        annotations: map(&[
            ("com.openfaas.scale.min", "2"),
            ("com.tidegate.image.pull-police", "Never"),
            ("com.tidegate.image.pull-policy", "Never"),
            ("topic", "t"),
        ]),
        ..Default::default()
    };
    let checked = deployment.check().expect("odd, not wrong");
    let warnings: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "label com.openfaas.profile has no effect here",
            "annotation com.openfaas.scale.min has no effect; scaling is asked for by labels",
            "annotation com.tidegate.image.pull-police has no effect; those known are com.tidegate.limit.rate, \
             com.tidegate.limit.burst, com.tidegate.limit.client-rate, com.tidegate.limit.client-burst, \
             com.tidegate.image.pull-policy, com.tidegate.allow-32bit, com.tidegate.process.directory",
        ]
    );
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(".{0,12}", ".{0,12}", 0..4)
}

prop_compose! {
    fn deployments()(
        service in ".*", image in ".*", namespace in ".*", env_process in ".*",
        env_vars in texts(), labels in texts(), annotations in texts(),
        constraints in prop::collection::vec(".*", 0..3), secrets in prop::collection::vec(".*", 0..3),
        memory in prop::option::of(".*"), read_only_root_filesystem: bool,
    ) -> FunctionDeployment {
        FunctionDeployment {
            service, image, namespace, env_process, env_vars, labels, annotations, constraints, secrets,
            limits: Some(FunctionResources { memory, ..Default::default() }),
            requests: None, read_only_root_filesystem,
        }
    }
}

proptest! {
    #[test]
    fn a_deployment_reads_back(deployment in deployments()) {
        let text = json(&deployment);
        let read = FunctionDeployment::from_json(text.as_bytes());
        prop_assert_eq!(read.expect("what was written can be read"), deployment);
    }

    #[test]
    fn a_check_never_panics(deployment in deployments()) {
        let _ = deployment.check();
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = FunctionDeployment::from_json(&bytes);
        let _ = AlertWebhook::from_json(&bytes);
        let _ = Secret::from_json(&bytes);
        let _ = FunctionStatus::from_json(&bytes);
    }

    #[test]
    fn nearly_json_does_not_panic(text in r#"\{("[a-zA-Z]{1,9}":(null|1|-1.5|"x"|\[\]|\{\}),?){0,5}\}?"#) {
        let _ = FunctionDeployment::from_json(text.as_bytes());
        let _ = ScaleServiceRequest::from_json(text.as_bytes());
    }
}
