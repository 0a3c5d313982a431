//! Compose files: what is read, what is refused, and where.

use std::time::Duration;

use tidegate_api::Compose;
use tidegate_api::compose::World;
use tidegate_core::Service;
use tidegate_core::service::{Condition, Restart, Source};

const FILE: &str = r#"
version: "3.7"
x-common: &common
  restart: always
services:
  web:
    <<: *common
    image: team/web:${TAG:-1}
    command: serve --name "two words" $$HOME
    depends_on:
      db: {condition: service_healthy}
      once: {condition: service_completed_successfully}
    ports:
      - "8081:80"
      - {target: 443, published: "8443", host_ip: 0.0.0.0}
    environment:
      - A=1=2
      - HOST
      - UNSET
    networks: [inner]
  db:
    image: postgres
    user: "999:999"
    env_file: [db.env, {path: none.env, required: false}]
    environment: {POSTGRES_PASSWORD: "$SECRET", B: 1, C: true, D:}
    volumes:
      - data:/var/lib/postgresql/data
      - ./init:/init:ro
      - {type: bind, source: conf/pg.conf, target: /etc/pg.conf, read_only: true}
    deploy: {replicas: 1, resources: {limits: {memory: 512M, cpus: "0.5"}}}
    cap_add: [CAP_NET_RAW]
    cap_drop: [ALL]
    healthcheck:
      test: pg_isready -U $${USER}
      interval: 1s
    stop_grace_period: 1m30s
  once:
    image: busybox
    entrypoint: ["sh", "-c"]
    command: ["exit 0"]
    restart: on-failure:3
  off:
    image: none
    deploy: {replicas: 0}
volumes:
  data:
"#;

fn read(text: &str) -> Result<Compose, String> {
    let variable = |name: &str| match name {
        "SECRET" => Some("p$$w".to_owned()),
        "HOST" => Some("here".to_owned()),
        _ => None,
    };
    let file = |name: &str| match name {
        "db.env" => Ok(Some("B=file\nE=5\n".to_owned())),
        "bad.env" => Ok(Some("ok=1\n=\n".to_owned())),
        _ => Ok(None),
    };
    Compose::read("compose.yaml", text, World { variable: &variable, file: &file })
        .map_err(|found| found.to_string())
}

fn service<'a>(compose: &'a Compose, name: &str) -> &'a Service {
    compose.services.iter().find(|one| one.name == name).expect("it is there")
}

#[test]
fn a_file_is_read_with_all_it_says() {
    let compose = read(FILE).unwrap_or_else(|found| panic!("{found}"));
    let names: Vec<&str> = compose.services.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["db", "once", "web"]);

    let web = service(&compose, "web");
    assert_eq!((web.image.as_str(), web.restart), ("team/web:1", Restart::Always));
    let words = ["serve", "--name", "two words", "$HOME"];
    assert_eq!(web.command.as_deref().expect("given"), words);
    let ports: Vec<String> = web.ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["127.0.0.1:8081:80", "0.0.0.0:8443:443"]);
    assert_eq!(web.depends_on["db"], Condition::Healthy);
    assert_eq!(web.depends_on["once"], Condition::Completed);
    let env: Vec<_> = web.env.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(env, [("A", "1=2"), ("HOST", "here")]);

    let db = service(&compose, "db");
    let env: Vec<_> = db.env.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let wanted = [("B", "1"), ("C", "true"), ("E", "5"), ("POSTGRES_PASSWORD", "p$$w")];
    assert_eq!(env, wanted);
    assert_eq!(
        (db.memory, db.cpu, db.user.as_deref()),
        (Some(512 << 20), Some(500), Some("999:999"))
    );
    let sources: Vec<&Source> = db.volumes.iter().map(|it| &it.source).collect();
    let path = |text: &str| Source::Path(text.into());
    let wanted = [Source::Named("data".to_owned()), path("./init"), path("conf/pg.conf")];
    assert_eq!(sources, wanted.iter().collect::<Vec<_>>());
    assert_eq!(db.volumes.iter().map(|it| it.read_only).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(
        (db.more_capabilities.len(), db.fewer_capabilities.as_slice()),
        (1, &["ALL".to_owned()][..])
    );
    let health = db.health.as_ref().expect("given");
    assert_eq!(health.command, ["/bin/sh", "-c", "pg_isready -U ${USER}"]);
    assert_eq!((health.interval, health.retries), (Duration::from_secs(1), 3));
    assert_eq!(db.stop_grace, Duration::from_secs(90));
    assert_eq!(service(&compose, "once").restart, Restart::OnFailure(Some(3)));

    let warnings: Vec<(String, usize)> =
        compose.warnings.iter().map(|it| (it.message.clone(), it.line)).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].0.starts_with("version has no effect"), "{warnings:?}");
    assert_eq!((warnings[1].0.split(' ').next(), warnings[1].1), (Some("networks"), 20));
}

#[test]
fn what_cannot_be_honoured_is_refused_where_it_stands() {
    let one = |lines: &str| format!("services:\n  a:\n    image: x\n{lines}\n");
    let cases = [
        (one("    privileged: true"), "privileged is not supported", 4),
        (one("    comand: x"), "did you mean command?", 4),
        (one("    build: ."), "build is not supported", 4),
        (one("    ports: [\"80\"]"), "which port of the machine", 4),
        (one("    volumes: [data:/x]"), "no volume data", 4),
        (one("    restart: maybe"), "restart \"maybe\"", 4),
        (one("    mem_limit: lots"), "\"lots\" is not a size", 4),
        (one("    depends_on: [b]"), "depends on b, which is not in the file", 2),
        (one("    depends_on: {a: {condition: service_tired}}"), "service_tired", 4),
        (one("    deploy: {replicas: 3}"), "a service runs once", 4),
        (one("    env_file: gone.env"), "does not exist", 4),
        (one("    env_file: bad.env"), "bad.env, line 2", 4),
        (one("    command: \"'\""), "quote that does not end", 4),
        (one("    environment: {\"\": x}"), "not a good variable", 4),
        (one("    healthcheck: {test: [WHAT]}"), "test must be", 4),
        (one("secrets: {x: {}}"), "secrets is not supported", 4),
        ("services:\n  gateway: {image: x}\n".to_owned(), "tidegate's own name", 2),
        ("services:\n  My_Db: {image: x}\n".to_owned(), "look it up", 2),
        ("services:\n  a: {}\n".to_owned(), "a has no image", 2),
        ("volumes: {}\n".to_owned(), "no services", 1),
        ("services:\n  a: {image: x}\n  a: {image: y}\n".to_owned(), "duplicate", 3),
        ("services: [".to_owned(), "", 1),
    ];
    for (text, why, line) in cases {
        let told = read(&text).expect_err(&text);
        assert!(told.contains(why), "{text}\n{told}");
        assert!(
            why.is_empty() || told.contains(&format!("compose.yaml:{line}:")),
            "{text}\n{told}"
        );
    }
}

#[test]
fn who_waits_for_himself_in_the_end_is_refused() {
    let text = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n";
    assert!(read(text).expect_err("a ring").contains("wait for each other: a, b"));
    let text = "services:\n  a: {image: x, depends_on: {b: {condition: service_healthy}}}\n  b: {image: x}\n";
    assert!(read(text).expect_err("no check").contains("has no healthcheck"));
    let text = "services:\n  a: {image: x, ports: [\"80:1\"]}\n  b: {image: x, ports: [\"0.0.0.0:80:2\"]}\n";
    assert!(read(text).expect_err("one port").contains("b wants port"));
    let text =
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, deploy: {replicas: 0}}\n";
    let compose = read(text).expect("b is off");
    assert_eq!((compose.services.len(), compose.warnings.iter().count()), (1, 1));
}
