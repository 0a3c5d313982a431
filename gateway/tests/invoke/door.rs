//! The functions' own door: whom `Host` means there, and that it means nothing elsewhere.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::world::{
    Answer, OF_PETS, Peer, World, constant, read_to_end, read_until, replica, settled, status,
};

/// What is answered to `GET path` with this `Host`.
async fn ask(mut stream: TcpStream, host: &str, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the gateway reads");
    Answer::parse(&read_to_end(&mut stream).await)
}

async fn inside(world: &World, host: &str, path: &str) -> Answer {
    let stream = TcpStream::connect(world.inside).await.expect("the door is open");
    ask(stream, host, path).await
}

/// The same from a replica of namespace `pets`.
async fn from_pets(world: &World, host: &str, path: &str) -> Answer {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((OF_PETS, 0))).expect("loopback has it");
    ask(socket.connect(world.inside).await.expect("the door is open"), host, path).await
}

/// A replica that answers with the line of each request.
async fn tells_line() -> SocketAddr {
    replica(|mut peer: Peer| async move {
        while let Some(head) = peer.head().await {
            peer.answer(&head.line).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_host_is_a_function_and_the_whole_path_its_own() {
    let world = World::new().await;
    world.table.upsert(&status("f", &[tells_line().await]));
    let hosts = ["f", "f:8080", "F", "f.", "f.openfaas-fn", "f.openfaas-fn.svc.cluster.local:8080"];
    for host in hosts {
        let answer = inside(&world, host, "/a//b/../c?q=%zz").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "GET /a//b/../c?q=%zz HTTP/1.1"),
            "{host}"
        );
    }
    // What has a meaning of its own elsewhere has none here.
    for path in ["/", "/system/functions", "/function/g/x", "/healthz", "/ui/"] {
        let answer = inside(&world, "f", path).await;
        assert_eq!(answer.body, format!("GET {path} HTTP/1.1"), "{path}");
    }
    let answer = inside(&world, "g", "http://f:8080/x").await;
    assert_eq!(answer.body, "GET /x HTTP/1.1", "a target that names a host wins");
    let scraped = world.scrape().await;
    let counted =
        "gateway_function_invocation_total{function_name=\"f.openfaas-fn\",code=\"200\"} 12\n";
    assert!(scraped.contains(counted), "{scraped}");
}

#[tokio::test]
async fn names_of_nobody_are_told_so() {
    let world = World::new().await;
    for host in ["nosuch:8080", "nosuch.openfaas-fn", "nosuch.pets.svc.cluster.local"] {
        let answer = inside(&world, host, "/system/functions").await;
        let name = host.trim_end_matches(":8080");
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(answer.header("x-tidegate-error"), "unknown_function");
        assert!(answer.body.contains(&format!("no function is called {name}:")), "{answer:?}");
    }
    let world = World::build(|_| {}, false).await;
    assert_eq!(inside(&world, "f", "/").await.status, 503, "what is deployed is not known yet");
}

#[tokio::test]
async fn the_gateway_and_addresses_keep_the_ordinary_routes() {
    let world = World::new().await;
    world.table.upsert(&status("f", &[tells_line().await]));
    world.table.upsert(&status("gateway", &[constant("not this").await]));
    let address = world.inside.to_string();
    let hosts = ["gateway", "gateway:8080", "gateway.openfaas", &address, "faas.example.com", ""];
    for host in hosts {
        let answer = inside(&world, host, "/function/f/x").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "GET /x HTTP/1.1"), "{host}");
        assert_eq!(inside(&world, host, "/x").await.status, 404, "{host}");
    }
}

#[tokio::test]
async fn elsewhere_a_host_changes_nothing() {
    let world = World::new().await;
    world.table.upsert(&status("f", &[tells_line().await]));
    let outside = || async { world.connect().await };
    assert_eq!(ask(outside().await, "f", "/x").await.status, 404);
    let answer = ask(outside().await, "nosuch", "/function/f/x").await;
    assert_eq!(answer.body, "GET /x HTTP/1.1");
}

#[tokio::test]
async fn a_bare_name_means_first_a_function_of_the_callers_namespace() {
    let world = World::new().await;
    for (name, body) in [("cat", "of all"), ("cat.pets", "of pets"), ("dog", "only of all")] {
        world.table.upsert(&status(name, &[constant(body).await]));
    }
    assert_eq!(inside(&world, "cat", "/").await.body, "of all");
    assert_eq!(from_pets(&world, "cat", "/").await.body, "of pets");
    assert_eq!(from_pets(&world, "dog", "/").await.body, "only of all");
    assert_eq!(from_pets(&world, "cat.openfaas-fn", "/").await.body, "of all");
    assert_eq!(inside(&world, "cat.pets", "/").await.body, "of pets");
}

#[tokio::test]
async fn upgrades_and_bodies_pass_the_door() {
    let world = World::new().await;
    let address = replica(|mut peer: Peer| async move {
        let head = peer.head().await.expect("a request");
        assert_eq!(head.line, "GET /ws HTTP/1.1");
        peer.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        assert_eq!(peer.read_until("ping").await, "ping");
        peer.write("pong").await;
    })
    .await;
    let entry = world.table.upsert(&status("f", &[address]));
    let mut stream = TcpStream::connect(world.inside).await.expect("the door is open");
    let request = "GET /ws HTTP/1.1\r\nhost: f\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the gateway reads");
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream.write_all(b"ping").await.expect("the gateway reads");
    assert_eq!(read_until(&mut stream, "pong").await, "pong");
    drop(stream);
    settled(&world, &entry, 0, 0).await;

    let address = replica(|mut peer: Peer| async move {
        let head = peer.head().await.expect("a request");
        assert_eq!(head.line, "POST /up HTTP/1.1");
        assert_eq!(peer.read_until("0\r\n\r\n").await, "5\r\nhello\r\n0\r\n\r\n");
        peer.answer("got it").await;
    })
    .await;
    world.table.upsert(&status("g", &[address]));
    let mut stream = TcpStream::connect(world.inside).await.expect("the door is open");
    let request = "POST /up HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the gateway reads");
    assert_eq!(Answer::parse(&read_to_end(&mut stream).await).body, "got it");
}

/// A listener at all of the machine's addresses is the door for what comes to the door's.
#[tokio::test]
async fn of_a_listener_everywhere_only_the_doors_address_is_the_door() {
    let world = World::new().await;
    let everywhere = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = everywhere.local_addr().expect("it is bound").port();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(world.gateway.clone().serve_all(
        vec![everywhere],
        Some(world.door.clone()),
        shutdown.clone(),
    ));
    world.table.upsert(&status("f", &[tells_line().await]));
    for (address, status) in [(world.inside, 200), (world.address, 404)] {
        let stream = TcpStream::connect((address.ip(), port)).await.expect("it listens");
        assert_eq!(ask(stream, "f", "/x").await.status, status, "{address}");
    }
    shutdown.cancel();
    served.await.expect("no panic").expect("it ends well");
}
