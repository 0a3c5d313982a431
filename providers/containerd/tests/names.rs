//! Names that replicas ask for: what they mean, who is asked about others, and what is left without the port.

#![allow(clippy::disallowed_methods, reason = "a test has sockets and threads of its own")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/images.rs"]
mod images;
#[path = "support/place.rs"]
mod place;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use harness::function;
use place::Place;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE};
use tidegate_core::FunctionId;
use tidegate_provider::{Namespace, Provider};

/// A function whose calls are commands.
const SHELL: &str = "serve shell";
/// Longer than the server ever waits for others.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the world outside answers.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
/// A name that only a connection has room for.
const LARGE: &str = "large.example.com";

fn question(name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(7);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).expect("a name");
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().expect("a question")
}

/// What a reply says: its code, and its IPv4 addresses.
#[derive(Debug, PartialEq, Eq)]
struct Said(RCODE, Vec<Ipv4Addr>);

fn said(reply: &[u8]) -> Said {
    let reply = Packet::parse(reply).expect("a good reply");
    assert_eq!(reply.id(), 7);
    let address = |record: &ResourceRecord<'_>| match &record.rdata {
        RData::A(a) => Some(Ipv4Addr::from(a.address)),
        _ => None,
    };
    Said(reply.rcode(), reply.answers.iter().filter_map(address).collect())
}

fn at(address: Ipv4Addr) -> Said {
    Said(RCODE::NoError, vec![address])
}

/// Asks as the machine itself does, by a datagram.
fn ask(server: Ipv4Addr, question: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
    socket.connect((server, 53)).expect("an address");
    socket.send(question).expect("somebody listens");
    let mut reply = [0; 4096];
    let length = socket.recv(&mut reply).expect("an answer in time");
    reply[..length].to_vec()
}

/// Asks over a connection.
fn ask_stream(stream: &mut TcpStream, question: &[u8]) -> Vec<u8> {
    let length = u16::try_from(question.len()).expect("short");
    stream.write_all(&[&length.to_be_bytes()[..], question].concat()).expect("it reads");
    read_framed(stream)
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("an answer in time");
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).expect("all of it");
    message
}

/// A name server of the world outside, at an address on loopback that no other test has.
fn outside() -> IpAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 53, high, low);
    let datagrams = UdpSocket::bind((address, 53)).expect("root takes any port");
    let connections = TcpListener::bind((address, 53)).expect("root takes any port");
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, asker)) = datagrams.recv_from(&mut buffer) {
            let reply = answer(&buffer[..length], false);
            let _ = datagrams.send_to(&reply, asker);
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = connections.accept() {
            let reply = answer(&read_framed(&mut stream), true);
            let length = u16::try_from(reply.len()).expect("short");
            let _ = stream.write_all(&[&length.to_be_bytes()[..], &reply].concat());
        }
    });
    address.into()
}

fn answer(question: &[u8], has_room: bool) -> Vec<u8> {
    let packet = Packet::parse(question).expect("a question as it was asked");
    let name = packet.questions[0].qname.clone();
    let mut reply = Packet::new_reply(packet.id());
    reply.questions = packet.questions.clone();
    if name.to_string() == LARGE && !has_room {
        reply.set_flags(PacketFlag::TRUNCATION);
    } else if name.to_string().starts_with("nosuch") {
        *reply.rcode_mut() = RCODE::NameError;
    } else {
        let data = RData::A(A::from(OUTSIDE));
        reply.answers.push(ResourceRecord::new(name, CLASS::IN, 60, data));
    }
    reply.build_bytes_vec().expect("a reply")
}

fn pets() -> Namespace {
    Namespace {
        name: "pets".to_owned(),
        labels: [("openfaas".to_owned(), "1".to_owned())].into(),
        annotations: [].into(),
    }
}

/// The first address in the words of `nslookup`, which names the server first.
fn looked_up(text: &str) -> Option<&str> {
    let (_, answer) = text.split_once("\n\n")?;
    answer.lines().find_map(|line| line.strip_prefix("Address")?.split(' ').next_back())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_functions_services_and_the_world_are_found() {
    let server = outside();
    let Some(mut place) = Place::with(|config| config.name_servers = vec![server]).await else {
        return;
    };
    let bridge = place.harness.config.subnet.gateway();
    place.provider().create_namespace(pets()).await.expect("a new namespace");
    let caller = place.deployed(function("caller", SHELL), 1).await;
    place.deploy(function("cat", SHELL), 0).await;
    place.deploy(function("dog.pets", SHELL), 0).await;

    // From inside, by the program's own ways.
    let resolv = place.text(&caller, "cat /etc/resolv.conf").await;
    assert!(resolv.starts_with(&format!("nameserver {bridge}")), "{resolv}");
    for name in
        ["cat", "cat.openfaas-fn", "cat.openfaas-fn.svc.cluster.local", "dog.pets", "gateway"]
    {
        let text = place.text(&caller, &format!("nslookup -type=a {name}")).await;
        assert_eq!(looked_up(&text), Some(bridge.to_string().as_str()), "{name}: {text}");
    }
    let text = place.text(&caller, "nslookup -type=a nosuch; echo $?").await;
    assert!(text.contains("NXDOMAIN") && text.ends_with('1'), "{text}");
    let text = place.text(&caller, "nslookup -type=a www.example.com").await;
    assert_eq!(looked_up(&text), Some(OUTSIDE.to_string().as_str()), "{text}");

    // Each kind of answer, to the byte.
    let ask = |name: &str| said(&ask(bridge, &question(name, TYPE::A)));
    assert_eq!((ask("cat"), ask("dog.pets")), (at(bridge), at(bridge)));
    assert_eq!(ask("dog"), Said(RCODE::NameError, vec![]), "it is of another namespace");
    assert_eq!(ask("nosuch.example.com").0, RCODE::NameError);
    assert_eq!(
        said(&self::ask(bridge, &question("cat", TYPE::AAAA))),
        Said(RCODE::NoError, vec![])
    );
    let services = place.harness.config.run_dir.join("names/services");
    std::fs::write(services, "10.9.8.7 database\n").expect("a file");
    assert_eq!(ask("database"), at(Ipv4Addr::new(10, 9, 8, 7)));

    // Over a connection, several questions, and what has no room in a datagram.
    let cut = self::ask(bridge, &question(LARGE, TYPE::A));
    assert!(Packet::parse(&cut).expect("a reply").has_flags(PacketFlag::TRUNCATION));
    let mut stream = TcpStream::connect((bridge, 53)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    for (name, address) in
        [("cat", bridge), (LARGE, OUTSIDE), ("database", Ipv4Addr::new(10, 9, 8, 7))]
    {
        assert_eq!(said(&ask_stream(&mut stream, &question(name, TYPE::A))), at(address), "{name}");
    }

    // Deleted, it is nobody's; the rest is known again after a crash.
    let cat = FunctionId::parse("cat").expect("a good name");
    place.provider().delete(&cat).await.expect("it was deployed");
    assert_eq!(ask("cat"), Said(RCODE::NameError, vec![]));
    place.crash_and_reopen().await;
    assert_eq!((ask("dog.pets"), ask("cat").0), (at(bridge), RCODE::NameError));
    let address =
        place.provider().get(&caller).await.expect("deployed").replicas[0].address.clone();
    let Some(tidegate_provider::Address::Inside { address, .. }) = address else {
        panic!("{address:?}")
    };
    let known = place.provider().runtime().namespace_of(address.ip());
    assert_eq!(known.as_deref(), Some("openfaas-fn"), "replicas that were taken over are known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_name_is_first_one_of_the_replicas_own_namespace() {
    let Some(place) = Place::open().await else { return };
    let bridge = place.harness.config.subnet.gateway();
    place.provider().create_namespace(pets()).await.expect("a new namespace");
    let file = place.harness.daemon.path("function.tar");
    assert!(file.exists(), "the image is lent to other namespaces");
    let caller = place.deployed(function("caller.pets", SHELL), 1).await;
    place.deploy(function("dog.pets", SHELL), 0).await;
    for name in ["dog", "caller", "caller.pets"] {
        let text = place.text(&caller, &format!("nslookup -type=a {name}")).await;
        assert_eq!(looked_up(&text), Some(bridge.to_string().as_str()), "{name}: {text}");
    }
}

/// Without servers to ask there is an answer at once, and it is no stranger's.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_not_there_are_not_waited_for() {
    // Nobody listens there.
    let Some(place) =
        Place::with(|config| config.name_servers = vec![[127, 53, 53, 53].into()]).await
    else {
        return;
    };
    place.deployed(function("caller", SHELL), 1).await;
    let bridge = place.harness.config.subnet.gateway();
    let reply = ask(bridge, &question("www.example.com", TYPE::A));
    assert_eq!(said(&reply), Said(RCODE::ServerFailure, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_port_replicas_ask_whom_the_machine_asks() {
    let mut taken = None;
    let server: IpAddr = [127, 53, 53, 54].into();
    let place = Place::with(|config| {
        config.name_servers = vec![server];
        let socket =
            socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        let socket = socket.expect("a socket");
        sockopt::set_ip_freebind(&socket, true).expect("Linux");
        bind(&socket, &SocketAddrV4::new(config.subnet.gateway(), 53)).expect("a free port");
        taken = Some(socket);
    });
    let Some(place) = place.await else { return };
    let caller = place.deployed(function("caller", SHELL), 1).await;
    let resolv = place.text(&caller, "cat /etc/resolv.conf").await;
    assert_eq!(resolv, format!("nameserver {server}"));
}

/// Replicas go on without tidegate, and find the world without it.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_go_on_alone_ask_whom_the_machine_asks() {
    let server: IpAddr = [127, 53, 53, 55].into();
    let Some(place) = Place::with(|config| config.name_servers = vec![server]).await else {
        return;
    };
    let caller = place.deployed(function("caller", SHELL), 1).await;
    let status = place.provider().get(&caller).await.expect("deployed");
    let bridge = place.harness.config.subnet.gateway();
    assert_eq!(
        place.text(&caller, "cat /etc/resolv.conf").await.lines().next(),
        Some(format!("nameserver {bridge}").as_str())
    );
    place.provider().release().await;
    let said = place::ask(&status.replicas[0], "cat /etc/resolv.conf").await;
    assert_eq!(said, format!("nameserver {server}"));
    let socket = UdpSocket::bind(SocketAddr::from((bridge, 53)));
    assert!(socket.is_ok(), "the port is still taken: {socket:?}");
}
