//! Questions about names elsewhere, passed on byte for byte to the servers that the machine asks.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tracing::debug;

use super::sockets::PORT;

/// Longest wait for one server; all of three together are within the five seconds that askers wait.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Largest datagram that is taken from a server: askers promise to take no larger ones.
const LARGEST: usize = 4096;

/// Asks one server after another; none when no one answers.
pub(super) async fn by_datagram(servers: &[IpAddr], question: &[u8]) -> Option<Vec<u8>> {
    first(servers, |server| datagram(server, question)).await
}

/// The same over connections, for answers too large for a datagram.
pub(super) async fn by_stream(servers: &[IpAddr], question: &[u8]) -> Option<Vec<u8>> {
    first(servers, |server| stream(server, question)).await
}

async fn first<F>(servers: &[IpAddr], ask: impl Fn(SocketAddr) -> F) -> Option<Vec<u8>>
where
    F: Future<Output = io::Result<Vec<u8>>>,
{
    for server in servers {
        let server = SocketAddr::new(*server, PORT);
        match timeout(PATIENCE, ask(server)).await {
            Ok(Ok(reply)) => return Some(reply),
            Ok(Err(error)) => debug!(%server, %error, "no answer"),
            Err(_) => debug!(%server, "no answer within {PATIENCE:?}"),
        }
    }
    None
}

async fn datagram(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A socket for each question has a port that nobody can guess, and hears nobody but the server.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let asked = renamed(question)?;
    socket.send(&asked).await?;
    let mut reply = vec![0; LARGEST];
    loop {
        let length = socket.recv(&mut reply).await?;
        if let Some(reply) = fitting(&reply[..length], &asked, question) {
            return Ok(reply);
        }
    }
}

async fn stream(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let asked = renamed(question)?;
    stream.write_all(&framed(&asked)).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    fitting(&reply, &asked, question)
        .ok_or_else(|| io::Error::other("the answer is to another question"))
}

/// A message as it goes over a connection: behind its length.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend(length.to_be_bytes());
    framed.extend(&message[..usize::from(length)]);
    framed
}

/// The question with a number of our own, so that the asker's says nothing to who would forge an answer.
fn renamed(question: &[u8]) -> io::Result<Vec<u8>> {
    let mut asked = question.to_vec();
    let number = asked.first_chunk_mut::<2>().ok_or(io::ErrorKind::InvalidData)?;
    getrandom(&mut number[..], GetRandomFlags::empty())?;
    Ok(asked)
}

/// A reply with the asker's number again, if it is one to what was asked.
fn fitting(reply: &[u8], asked: &[u8], question: &[u8]) -> Option<Vec<u8>> {
    let end = end_of_question(asked)?;
    let is_reply = reply.get(2)? & 0x80 != 0;
    let same_number = reply.get(..2)? == asked.get(..2)?;
    // Servers may change the case of letters.
    let same_question = reply.get(12..end)?.eq_ignore_ascii_case(asked.get(12..end)?);
    if !is_reply || !same_number || !same_question {
        return None;
    }
    let mut reply = reply.to_vec();
    reply[..2].copy_from_slice(question.get(..2)?);
    Some(reply)
}

/// Where the first question of a message ends.
fn end_of_question(message: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match message.get(at)? {
            0 => return (message.len() >= at + 5).then_some(at + 5),
            // A question is the first name, which there is nothing before to point to.
            length @ 1..=63 => at += 1 + usize::from(*length),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03cat\x02ns\0\0\x01\0\x01";

    fn reply() -> Vec<u8> {
        let mut reply = QUESTION.to_vec();
        reply[2] |= 0x80;
        reply
    }

    #[test]
    fn only_a_reply_to_the_question_is_taken() {
        let mut asked = QUESTION.to_vec();
        asked[..2].copy_from_slice(b"\xab\xcd");
        let with = |change: fn(&mut Vec<u8>)| {
            let mut reply = reply();
            reply[..2].copy_from_slice(b"\xab\xcd");
            change(&mut reply);
            fitting(&reply, &asked, QUESTION)
        };
        assert_eq!(with(|_| ()), Some(reply()));
        assert!(with(|reply| reply[13] = b'C').is_some(), "letters may change their case");
        assert_eq!(with(|reply| reply[0] = 0), None);
        assert_eq!(with(|reply| reply[2] = 0), None);
        assert_eq!(with(|reply| reply[13] = b'b'), None);
        assert_eq!(with(|reply| reply.truncate(20)), None);
        assert_eq!(with(|reply| reply.clear()), None);
    }

    #[test]
    fn a_question_gets_another_number_and_nothing_else() {
        let asked: Vec<_> = (0..8).map(|_| renamed(QUESTION).expect("random numbers")).collect();
        assert!(asked.iter().all(|asked| asked[2..] == QUESTION[2..]));
        assert!(asked.iter().any(|other| other != &asked[0]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            reply in proptest::collection::vec(any::<u8>(), 0..40),
            asked in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = fitting(&reply, &asked, &asked);
            let _ = renamed(&asked);
        }
    }
}
