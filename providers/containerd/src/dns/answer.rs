//! What is answered to one message: a pure function of the message and of what is found by the name in it.

use std::net::IpAddr;

use simple_dns::header_buffer::{additional_records, answers, name_servers, questions};
use simple_dns::rdata::{A, AAAA, OPT, RData};
use simple_dns::{
    CLASS, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
};

/// Length of a message's head.
const HEAD: usize = 12;
/// How long an answer may be remembered, in seconds: functions come and go.
const KEPT: u32 = 5;
/// More addresses than this would not fit into the smallest datagram.
const MOST_ADDRESSES: usize = 8;
/// Records that a question may bring along: what it can do beyond the first standard, and a signature.
const MOST_EXTRA: u16 = 2;
/// Largest datagram we promise to take, small enough for any network.
const LARGEST_DATAGRAM: u16 = 1232;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered.
    Answer(Vec<u8>),
    /// Others know the answer.
    Forward,
    /// It is no question.
    Nothing,
}

/// What is found by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has these addresses.
    At(Vec<IpAddr>),
    /// It is ours to know, and there is none.
    Nowhere,
    /// It is for others to know.
    Elsewhere,
}

/// What to do with a message; `find` is asked for the name in it, in lower case and without a last dot.
pub(super) fn answer(message: &[u8], find: impl FnOnce(&str) -> Found) -> Verdict {
    let Some(head) = message.first_chunk::<HEAD>() else { return Verdict::Nothing };
    if head[2] & 0x80 != 0 {
        // An answer; answering those goes on for ever.
        return Verdict::Nothing;
    }
    if !is_one_question(message) {
        return Verdict::Answer(bare(head, RCODE::FormatError));
    }
    let Ok(packet) = Packet::parse(message) else {
        return Verdict::Answer(bare(head, RCODE::FormatError));
    };
    let Some(question) = packet.questions.first() else {
        return Verdict::Answer(bare(head, RCODE::FormatError));
    };
    if let Some(why) = unfit(&packet, question) {
        return Verdict::Answer(written(head, &reply(&packet, why)));
    }
    let name = question.qname.to_string().to_ascii_lowercase();
    match find(&name) {
        Found::Elsewhere => Verdict::Forward,
        Found::Nowhere => Verdict::Answer(written(head, &reply(&packet, RCODE::NameError))),
        Found::At(addresses) => {
            let mut reply = reply(&packet, RCODE::NoError);
            reply.answers = records(question, &addresses);
            Verdict::Answer(written(head, &reply))
        }
    }
}

/// Tells the asker that no answer could be had.
pub(super) fn failed(message: &[u8]) -> Vec<u8> {
    let Some(head) = message.first_chunk::<HEAD>() else { return Vec::new() };
    match Packet::parse(message) {
        Ok(packet) if is_one_question(message) => {
            written(head, &reply(&packet, RCODE::ServerFailure))
        }
        _ => bare(head, RCODE::ServerFailure),
    }
}

/// Before anything is parsed: the parser makes room for as many records as the head claims.
fn is_one_question(message: &[u8]) -> bool {
    let none = |count: simple_dns::Result<u16>| count.is_ok_and(|count| count == 0);
    questions(message).is_ok_and(|count| count == 1)
        && none(answers(message))
        && none(name_servers(message))
        && additional_records(message).is_ok_and(|count| count <= MOST_EXTRA)
}

/// Why a question is not one for us, nor for whom we would ask.
fn unfit(packet: &Packet<'_>, question: &Question<'_>) -> Option<RCODE> {
    if packet.opcode() != OPCODE::StandardQuery {
        return Some(RCODE::NotImplemented);
    }
    match (question.qclass, question.qtype) {
        (_, QTYPE::AXFR | QTYPE::IXFR) => Some(RCODE::NotImplemented),
        (QCLASS::CLASS(CLASS::IN) | QCLASS::ANY, _) => None,
        _ => Some(RCODE::Refused),
    }
}

/// A reply to a question, without an answer yet.
fn reply<'a>(packet: &Packet<'a>, code: RCODE) -> Packet<'a> {
    let mut reply = Packet::new_reply(packet.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if packet.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    *reply.opcode_mut() = packet.opcode();
    *reply.rcode_mut() = code;
    reply.questions = packet.questions.iter().take(1).cloned().collect();
    if packet.opt().is_some() {
        let opt = OPT { opt_codes: Vec::new(), udp_packet_size: LARGEST_DATAGRAM, version: 0 };
        *reply.opt_mut() = Some(opt);
    }
    reply
}

/// The addresses of the kind that is asked for; none is an answer, too.
fn records<'a>(question: &Question<'a>, addresses: &[IpAddr]) -> Vec<ResourceRecord<'a>> {
    let wants = |kind: TYPE| question.qtype == QTYPE::ANY || question.qtype == kind.into();
    let record = |address: &IpAddr| {
        let data = match address {
            IpAddr::V4(address) if wants(TYPE::A) => RData::A(A::from(*address)),
            IpAddr::V6(address) if wants(TYPE::AAAA) => RData::AAAA(AAAA::from(*address)),
            _ => return None,
        };
        Some(ResourceRecord::new(question.qname.clone(), CLASS::IN, KEPT, data))
    };
    addresses.iter().filter_map(record).take(MOST_ADDRESSES).collect()
}

fn written(head: &[u8; HEAD], reply: &Packet<'_>) -> Vec<u8> {
    reply.build_bytes_vec_compressed().unwrap_or_else(|_| bare(head, RCODE::ServerFailure))
}

/// A reply without its question, to a message that could not be read.
fn bare(head: &[u8; HEAD], code: RCODE) -> Vec<u8> {
    let mut reply = vec![0; HEAD];
    reply[..2].copy_from_slice(&head[..2]);
    // A reply, with the kind of question and the wish for recursion as they came.
    reply[2] = 0x80 | (head[2] & 0x79);
    reply[3] = 0x80 | u8::try_from(code as u16).unwrap_or(2);
    reply
}

#[cfg(test)]
mod tests;
