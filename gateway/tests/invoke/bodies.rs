//! Bodies stream both ways, end as they should, and break off as they should.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::world::{
    Answer, Peer, World, get, read_to_end, read_until, replica, settled, status, within,
};

/// A replica of one connection, handed to the test.
async fn by_hand(world: &World) -> mpsc::UnboundedReceiver<Peer> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let address = replica(move |peer| {
        let _ = sender.send(peer);
        async {}
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    receiver
}

#[tokio::test]
async fn events_arrive_one_by_one_while_the_function_still_runs() {
    let world = World::new().await;
    let mut replicas = by_hand(&world).await;
    let mut client = world.connect().await;
    client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
    let mut replica = within(replicas.recv()).await.expect("a call");
    replica.head().await;
    replica.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.contains("text/event-stream"));
    for number in 0..5 {
        // Only sent once the client has the one before.
        let event = format!("data: {number}\n\n");
        replica.write(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert!(read_until(&mut client, &format!("{event}\r\n")).await.contains("data"));
    }
    replica.write("0\r\n\r\n").await;
    assert_eq!(read_to_end(&mut client).await, "0\r\n\r\n");
}

#[tokio::test]
async fn an_upload_and_its_answer_run_side_by_side() {
    let world = World::new().await;
    let mut replicas = by_hand(&world).await;
    let mut client = world.connect().await;
    client
        .write_all(b"POST /function/f HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .expect("it reads");
    let mut replica = within(replicas.recv()).await.expect("a call");
    let head = replica.head().await.expect("a head");
    assert_eq!(head.all("transfer-encoding"), ["chunked"]);
    replica.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    read_until(&mut client, "\r\n\r\n").await;
    for word in ["ping", "pong"] {
        client.write_all(format!("4\r\n{word}\r\n").as_bytes()).await.expect("it reads");
        assert_eq!(replica.read_until(&format!("{word}\r\n")).await, format!("4\r\n{word}\r\n"));
        replica.write(format!("4\r\n{word}\r\n")).await;
        assert_eq!(
            read_until(&mut client, &format!("{word}\r\n")).await,
            format!("4\r\n{word}\r\n")
        );
    }
    client.write_all(b"0\r\n\r\n").await.expect("it reads");
    assert_eq!(replica.read_until("0\r\n\r\n").await, "0\r\n\r\n");
    replica.write("0\r\n\r\n").await;
    assert_eq!(read_until(&mut client, "0\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn large_bodies_arrive_whole_with_their_length() {
    let world = World::new().await;
    let address = replica(|mut peer| async move {
        while let Some(head) = peer.head().await {
            let length: usize = head.all("content-length")[0].parse().expect("a length");
            let mut body = vec![0; length];
            peer.stream.read_exact(&mut body).await.expect("the body");
            peer.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")).await;
            peer.write(body).await;
        }
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| b'a' + (number % 23) as u8).collect();
    for length in [1, 4096, 16 * 1024, 70_000, 5_000_000] {
        let mut request = format!("POST /function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        request.extend_from_slice(&body[..length]);
        let answer = Answer::parse(&world.raw(request).await);
        assert_eq!(answer.header("content-length"), length.to_string());
        assert!(answer.body.as_bytes() == &body[..length], "{length}");
    }
}

#[tokio::test]
async fn a_slow_reader_holds_the_function_back() {
    let world = World::new().await;
    let mut replicas = by_hand(&world).await;
    let mut client = world.connect().await;
    client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
    let mut replica = within(replicas.recv()).await.expect("a call");
    replica.head().await;
    replica.write("HTTP/1.1 200 OK\r\n\r\n").await;
    // The client does not read, so the replica must come to a halt long before this is written.
    let piece = vec![b'x'; 1 << 20];
    let mut written = 0;
    while written < 512 {
        let write = replica.stream.write_all(&piece);
        if tokio::time::timeout(Duration::from_millis(300), write).await.is_err() {
            break;
        }
        written += 1;
    }
    assert!(written < 64, "{written} MiB went into buffers");
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let world = World::new().await;
    let address = replica(|mut peer| async move {
        peer.head().await;
        let body = peer.read_until("x-up: 1\r\n\r\n").await;
        assert_eq!(body, "2\r\nhi\r\n0\r\nx-up: 1\r\n\r\n");
        peer.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nho\r\n0\r\nx-sum: 42\r\n\r\n").await;
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    let answer = world
        .raw("POST /function/f HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: te, close\r\ntrailer: x-up\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-up: 1\r\n\r\n")
        .await;
    assert!(answer.ends_with("2\r\nho\r\n0\r\nx-sum: 42\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_cut_short_never_ends_cleanly() {
    let world = World::new().await;
    for (head, rest) in [
        ("content-length: 10\r\n", "hello"),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\nzz\r\n"),
    ] {
        let address = replica(move |mut peer| async move {
            peer.head().await;
            peer.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n{rest}")).await;
        })
        .await;
        world.table.upsert(&status("f", &[address]));
        let answer = Answer::parse(&world.raw("GET /function/f HTTP/1.1\r\nhost: x\r\n\r\n").await);
        assert_eq!(answer.status, 200);
        // What came is passed on; the promised length or the last chunk is missing for the client to see.
        assert!(answer.body.contains("hello"), "{answer:?}");
        assert!(answer.body == "hello" || answer.body == "5\r\nhello\r\n", "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_arrives_whole() {
    let world = World::new().await;
    let address = replica(|mut peer| async move {
        peer.head().await;
        peer.write("HTTP/1.0 200 OK\r\n\r\nall of it").await;
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    let answer = world.get("/function/f").await;
    assert_eq!(answer.body, "9\r\nall of it\r\n0\r\n\r\n");
    let old = world.raw("GET /function/f HTTP/1.0\r\n\r\n").await;
    assert!(old.ends_with("\r\n\r\nall of it"), "{old}");
}

#[tokio::test]
async fn head_and_bodiless_answers_keep_their_length() {
    let world = World::new().await;
    let address = replica(|mut peer| async move {
        while let Some(head) = peer.head().await {
            let status = if head.line.starts_with("HEAD") { "200 OK" } else { "304 Not" };
            peer.write(format!("HTTP/1.1 {status}\r\ncontent-length: 77\r\n\r\n")).await;
        }
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    for (method, status) in [("HEAD", 200), ("GET", 304), ("HEAD", 200)] {
        let answer = Answer::parse(
            &world
                .raw(format!(
                    "{method} /function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
                ))
                .await,
        );
        assert_eq!((answer.status, answer.body.as_str()), (status, ""));
        // The length of what is not sent may be left out, but never be another.
        assert!(answer.all("content-length").iter().all(|length| *length == "77"), "{answer:?}");
        assert!(method == "GET" || answer.all("content-length").len() == 1);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let world = World::new().await;
    let mut replicas = by_hand(&world).await;
    let mut client = world.connect().await;
    client
        .write_all(b"POST /function/f HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")
        .await
        .expect("it reads");
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"body").await.expect("it reads");
    let mut replica = within(replicas.recv()).await.expect("a call");
    assert!(replica.head().await.expect("a head").all("expect").is_empty());
    assert_eq!(replica.read_until("body").await, "body");
    replica.answer("thanks").await;
    assert!(read_to_end(&mut client).await.ends_with("thanks"));
}

#[tokio::test]
async fn an_upgraded_connection_is_joined_and_in_flight_until_closed() {
    let world = World::new().await;
    let address = replica(|mut peer| async move {
        let head = peer.head().await.expect("a head");
        assert_eq!(head.all("upgrade"), ["echo"]);
        assert_eq!(head.all("connection"), ["upgrade"]);
        peer.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nfirst")
            .await;
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = peer.stream.read(&mut buffer).await {
            peer.write(&buffer[..count]).await;
        }
    })
    .await;
    let entry = world.table.upsert(&status("f", &[address]));
    let mut client = world.connect().await;
    client
        .write_all(b"GET /function/f/ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n")
        .await
        .expect("it reads");
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: echo"), "{head}");
    assert_eq!(read_until(&mut client, "first").await, "first");
    for word in ["one", "two"] {
        client.write_all(word.as_bytes()).await.expect("it reads");
        assert_eq!(read_until(&mut client, word).await, word);
    }
    settled(&world, &entry, 1, 0).await;
    assert!(entry.begin_zero().is_none());
    drop(client);
    settled(&world, &entry, 0, 0).await;
    assert!(
        world
            .scrape()
            .await
            .contains("function_invocation_total{function_name=\"f.openfaas-fn\",code=\"101\"} 1")
    );
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_call_along() {
    let world = World::new().await;
    let mut replicas = by_hand(&world).await;
    let entry = world.table.lookup("f").expect("deployed");
    // Before the answer, then in the middle of it.
    for answered in [false, true] {
        let mut client = world.connect().await;
        client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
        let mut replica = within(replicas.recv()).await.expect("a call");
        replica.head().await;
        if answered {
            replica.write("HTTP/1.1 200 OK\r\n\r\nmore and").await;
            read_until(&mut client, "more and").await;
        }
        settled(&world, &entry, 1, 0).await;
        drop(client);
        let (sender, closed) = oneshot::channel();
        tokio::spawn(async move {
            // Writing on, as a function that streams does, until the gateway is gone.
            while replica.stream.write_all(b" more").await.is_ok() {
                tokio::task::yield_now().await;
            }
            let _ = sender.send(());
        });
        within(closed).await.expect("the gateway closed the connection");
        settled(&world, &entry, 0, 0).await;
    }
    let metrics = world.scrape().await;
    assert!(
        metrics.contains("code=\"499\"} 1") && metrics.contains("code=\"200\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_is_passed_on() {
    let world = World::new().await;
    let address = replica(|mut peer| async move {
        peer.head().await;
        peer.write("HTTP/1.1 413 Too Much\r\ncontent-length: 4\r\nconnection: close\r\n\r\nstop")
            .await;
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    let mut client = world.connect().await;
    client
        .write_all(b"POST /function/f HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\nsome")
        .await
        .expect("it reads");
    let answer = read_until(&mut client, "stop").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}
