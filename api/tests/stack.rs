//! Stack files: what they mean, and what is said of bad ones.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_api::{Diagnostics, FunctionDeployment, Severity, Stack};

fn read(text: &str) -> Result<Stack, Diagnostics> {
    read_with(text, &[])
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Stack, Diagnostics> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    Stack::read("stack.yml", text, &|name| variables.get(name).map(|value| (*value).to_owned()))
}

fn no_file(_: &str) -> Result<String, String> {
    Err("no such file".to_owned())
}

fn deployment(stack: &Stack, name: &str) -> FunctionDeployment {
    let function = stack.function(name).expect("the function is there");
    function.deployment(&no_file).expect("it has no environment files")
}

fn refused(text: &str) -> String {
    read(text).expect_err("the file is wrong").to_string()
}

fn warned(text: &str) -> String {
    read(text).unwrap_or_else(|found| panic!("{found}")).warnings.to_string()
}

const WHOLE: &str = r#"version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:8080
functions:
  zeta:
    lang: python3-http
    handler: ./zeta
    image: ${REGISTRY:-docker.io}/me/zeta:${TAG:-latest}
    fprocess: python3 index.py
    namespace: dev
    environment:
      flag: true
      count: 10
      share: 0.70
      empty:
      text: "yes"
    environment_file:
      - one.yml
    labels:
      com.openfaas.scale.zero: true
      com.openfaas.scale.max: 10
      com.openfaas.scale.target-proportion: 0.70
    annotations:
      topic: cron-function
    secrets: [api-key, token]
    constraints:
      - "node.platform.os == linux"
    limits:
      memory: 128Mi
      cpu: 100m
    requests:
      cpu: 0.1
    readonly_root_filesystem: true
    skip_build: true
    build_options: [dev]
    build_args:
      GO: 1.20
    build_secrets:
      key: value
    platforms: linux/amd64,linux/arm64
  alpha:
    image: me/alpha
configuration:
  templates:
    - name: python3-http
      source: https://example.com/templates
  copy:
    - ./common
"#;

#[test]
fn every_field_is_read_and_values_stay_as_written() {
    let stack = read(WHOLE).unwrap_or_else(|found| panic!("{found}"));
    assert!(stack.warnings.is_empty(), "{}", stack.warnings);
    assert_eq!(stack.gateway, "http://127.0.0.1:8080");
    let names: Vec<_> = stack.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["zeta", "alpha"], "the file's order");
    assert_eq!(stack.templates[0].source, "https://example.com/templates");
    assert_eq!(stack.copy, ["./common"]);

    let zeta = &stack.functions[0];
    assert_eq!((zeta.lang.as_str(), zeta.handler.as_str()), ("python3-http", "./zeta"));
    assert!(zeta.skip_build);
    assert_eq!(zeta.build_args["GO"], "1.20");
    assert_eq!(zeta.platforms, "linux/amd64,linux/arm64");
    let files = |name: &str| match name {
        "one.yml" => Ok("environment:\n  count: 0x10\n  more: null\n".to_owned()),
        _ => no_file(name),
    };
    let deployment = zeta.deployment(&files).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(deployment.image, "docker.io/me/zeta:latest");
    assert_eq!(deployment.namespace, "dev");
    let env: Vec<_> =
        deployment.env_vars.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        env,
        [
            ("count", "0x10"), // the file wins
            ("empty", ""),
            ("flag", "true"),
            ("more", ""),
            ("share", "0.70"),
            ("text", "yes")
        ]
    );
    assert_eq!(deployment.labels["com.openfaas.scale.target-proportion"], "0.70");
    assert_eq!(deployment.secrets, ["api-key", "token"]);
    assert_eq!(deployment.constraints, ["node.platform.os == linux"]);
    let limits = deployment.limits.expect("limits are given");
    assert_eq!((limits.memory.as_deref(), limits.cpu.as_deref()), (Some("128Mi"), Some("100m")));
    assert_eq!(deployment.requests.expect("requests are given").cpu.as_deref(), Some("0.1"));
    assert!(deployment.read_only_root_filesystem);
}

#[test]
fn an_image_without_tag_or_digest_is_its_latest() {
    let image = |image: &str| {
        let text = format!("functions:\n  a:\n    image: {image}\n");
        deployment(&read(&text).expect("fine"), "a").image
    };
    assert_eq!(image("me/alpha"), "me/alpha:latest");
    assert_eq!(image("localhost:5000/alpha"), "localhost:5000/alpha:latest");
    assert_eq!(image("me/alpha:0.1"), "me/alpha:0.1");
    assert_eq!(image("me/alpha@sha256:abc"), "me/alpha@sha256:abc");
}

#[test]
fn variables_are_filled_in_over_the_whole_file() {
    let text = "functions:\n  ${NAME}:\n    fprocess: sh -c 'echo $HOME $${HOME} ${A:-a${B:-b}}_${C-c}_${D:=d}'\n";
    let stack = read_with(text, &[("NAME", "cat"), ("C", ""), ("A", "")]).expect("fine");
    assert_eq!(deployment(&stack, "cat").env_process, "sh -c 'echo $HOME ${HOME} ab__d'");
}

#[test]
fn nothing_in_a_comment_line_is_a_mistake() {
    assert!(warned("# ${UNSET} ${bad bad} ${\nfunctions: {}\n").is_empty());
}

#[test]
fn an_unset_variable_is_pointed_at() {
    let found = warned("functions:\n  cat:\n    fprocess: cat ${MISSING}\n");
    assert_eq!(
        found,
        "warning: variable MISSING is not set, so nothing is put here; set it or write ${MISSING:-default}\n --> stack.yml:3:19\n  |\n3 |     fprocess: cat ${MISSING}\n  |                   ^^^^^^^^^^"
    );
}

#[test]
fn a_bad_label_is_shown_with_its_line_and_a_caret() {
    let found = refused(
        "functions:\n  cat:\n    fprocess: cat\n    labels:\n      com.openfaas.scale.min: many\n",
    );
    assert_eq!(
        found,
        "error: label com.openfaas.scale.min: \"many\" is not allowed; use a whole number from 1 to 10000\n --> stack.yml:5:31\n  |\n5 |       com.openfaas.scale.min: many\n  |                               ^^^^"
    );
}

#[test]
fn positions_are_those_of_the_file_before_variables_were_filled_in() {
    let text = "# ${LONG}\nfunctions:\n  cat:\n    fprocess: ${LONG}\n    limits: {cpu: ${CPU}, memory: 1x}\n";
    let variables = [("LONG", "one two three four\"\n"), ("CPU", "1000000000m")];
    let variables = variables.map(|(name, value)| (name, value.trim_end_matches(['"', '\n'])));
    let found = read_with(text, &variables).expect_err("1x is no quantity").to_string();
    assert!(found.contains("stack.yml:5:35"), "{found}");
    assert!(found.ends_with("                                  ^^"), "{found}");
    let found = read_with(text, &[("LONG", "x"), ("CPU", "no")]).expect_err("no").to_string();
    assert!(found.contains("stack.yml:5:19"), "{found}");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let found = refused(concat!(
        "version: 2.0\nprovider: {name: docker}\nfunctions:\n",
        "  Bad_Name:\n    image: x\n",
        "  empty:\n",
        "  cat:\n    fprocess: cat\n    limits: {memory: 1MB}\n    environment: {'a=b': c}\n",
    ));
    for part in [
        "version \"2.0\" is not known; use 1.0",
        "stack.yml:1:10",
        "provider \"docker\" is not known",
        "function name \"Bad_Name\" is not valid",
        "stack.yml:4:3",
        "neither image nor envProcess",
        "stack.yml:6:3",
        "stack.yml:9:22",
        "variable name \"a=b\" is not valid",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
}

#[test]
fn unknown_keys_are_warned_of_with_what_was_probably_meant() {
    let found = warned(concat!(
        "x-common: &c {a: b}\nfunctions:\n  cat:\n    fprocess: cat\n    enviroment: {a: b}\n",
        "    annotations:\n      com.openfaas.scale.min: 2\n    labels:\n      com.openfaas.profile: x\n",
    ));
    assert!(
        found.contains("unknown key \"enviroment\" has no effect; did you mean environment?"),
        "{found}"
    );
    assert!(found.contains("stack.yml:5:5"), "{found}");
    assert!(found.contains("annotation com.openfaas.scale.min has no effect"), "{found}");
    assert!(found.contains("stack.yml:7:7"), "{found}");
    assert!(found.contains("label com.openfaas.profile has no effect here"), "{found}");
    assert!(!found.contains("x-common"), "{found}");
}

#[test]
fn yaml_mistakes_are_pointed_at() {
    for (text, place) in [
        ("functions:\n  cat:\n\tfprocess: cat\n", "stack.yml:3"),
        ("functions:\n  cat: [1, 2]\n", "stack.yml:2:8"),
        ("functions:\n  cat:\n    secrets: one\n", "stack.yml:3:14"),
        ("functions:\n  cat: {fprocess: a}\n  cat: {fprocess: b}\n", "stack.yml:3:3"),
        ("functions: {a: *nowhere}\n", "stack.yml:1:16"),
        ("functions:\n  cat:\n    labels: {a: {b: c}}\n", "stack.yml:3:17"),
        ("functions:\n  cat:\n    fprocess: ${1x}\n", "stack.yml:3:15"),
        ("functions:\n  cat:\n    fprocess: ${open\n", "stack.yml:3:15"),
    ] {
        let found = refused(text);
        assert!(found.contains(place), "{text}\n{found}");
        assert!(found.contains('^'), "{found}");
    }
}

#[test]
fn anchors_and_merge_keys_work_and_bombs_do_not() {
    let stack = read(concat!(
        "x-scale: &scale\n  com.openfaas.scale.max: 3\n",
        "functions:\n  cat:\n    fprocess: cat\n    labels:\n      <<: *scale\n      a: b\n",
    ))
    .unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(deployment(&stack, "cat").labels["com.openfaas.scale.max"], "3");

    let mut bomb = "x-a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let one = format!("*a{}", level - 1);
        bomb += &format!("x-a{level}: &a{level} [{}]\n", [one.as_str(); 10].join(", "));
    }
    assert!(read(&bomb).is_err());
    assert!(read(&format!("functions: {}1{}", "[".repeat(5000), "]".repeat(5000))).is_err());
}

#[test]
fn an_environment_file_that_cannot_be_read_is_pointed_at() {
    let text = "functions:\n  cat:\n    fprocess: cat\n    environment_file:\n      - gone.yml\n";
    let stack = read(text).expect("fine");
    let found = stack.functions[0].deployment(&no_file).expect_err("it is gone").to_string();
    assert!(found.contains("\"gone.yml\" cannot be read: no such file"), "{found}");
    assert!(found.contains("stack.yml:5:9"), "{found}");
    let bad = |_: &str| Ok("environment: [1]".to_owned());
    let found = stack.functions[0].deployment(&bad).expect_err("it is no mapping").to_string();
    assert!(found.contains("gone.yml:1:14"), "{found}");
}

#[test]
fn an_empty_file_is_an_empty_stack() {
    for text in ["", "\n", "# nothing\n", "functions:\n", "{}", "~"] {
        assert!(
            read(text).unwrap_or_else(|found| panic!("{found}")).functions.is_empty(),
            "{text}"
        );
    }
}

#[test]
fn a_file_that_grows_beyond_bounds_is_refused() {
    let big = "x".repeat(1 << 20);
    let text = format!("functions:\n  cat:\n    fprocess: \"{}\"\n", "${BIG}".repeat(64));
    let found = read_with(&text, &[("BIG", &big)]).expect_err("64 MiB").to_string();
    assert!(found.contains("too large"), "{found}");
    let found = read(&"#".repeat(5 << 20)).expect_err("5 MiB").to_string();
    assert!(found.contains("at most"), "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_panics(text in ".*", variable in ".{0,8}") {
        let _ = Stack::read("f", &text, &|_| Some(variable.clone()));
    }

    #[test]
    fn nearly_a_stack_does_not_panic(
        text in "(functions|  a|    (labels|image|fprocess|limits|environment_file)|      (b|- c)|\\$\\{A(:-)?|\\}|: |\n|é|'|\"|&a|\\*a|\\[|\\{|#|\t){0,40}"
    ) {
        match read_with(&text, &[("A", "\u{fffd}\n")]) {
            Ok(stack) => for function in &stack.functions {
                let _ = function.deployment(&|_| Ok(text.clone()));
            },
            Err(found) => {
                prop_assert!(found.has_errors());
                for one in found.iter().filter(|one| one.severity == Severity::Error) {
                    prop_assert!(one.line >= 1 && one.column >= 1);
                    prop_assert!(one.line <= text.split('\n').count());
                }
            }
        }
    }

    #[test]
    fn values_come_back_as_written(value in "[a-zA-Z0-9._/-]{1,20}") {
        prop_assume!(!matches!(value.to_lowercase().as_str(), "null" | "~") && !value.starts_with('-'));
        let text = format!("functions:\n  cat:\n    fprocess: cat\n    environment:\n      KEY: {value}\n");
        let stack = read(&text).unwrap_or_else(|found| panic!("{found}"));
        prop_assert_eq!(&deployment(&stack, "cat").env_vars["KEY"], &value);
    }
}

#[test]
fn the_examples_are_read_without_a_warning() {
    let variables = [("STACK_DIR", "/srv/examples")];
    let stack = read_with(include_str!("../../examples/stack.yml"), &variables)
        .unwrap_or_else(|found| panic!("{found}"));
    assert!(stack.warnings.is_empty(), "{}", stack.warnings);
    for function in &stack.functions {
        function.deployment(&no_file).unwrap_or_else(|found| panic!("{found}"));
    }
}
