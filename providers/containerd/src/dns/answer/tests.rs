use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use simple_dns::Name;

use super::*;

const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 62, 0, 1);

fn question(name: &str, kind: QTYPE) -> Packet<'_> {
    let mut packet = Packet::new_query(0x1234);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).expect("a name");
    packet.questions.push(Question::new(name, kind, CLASS::IN.into(), false));
    packet
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec().expect("a good message")
}

fn ask(name: &str, kind: TYPE, found: Found) -> Vec<u8> {
    let message = bytes(&question(name, kind.into()));
    match answer(&message, |_| found) {
        Verdict::Answer(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn code(reply: &[u8]) -> RCODE {
    Packet::parse(reply).expect("a good reply").rcode()
}

#[test]
fn a_known_name_has_its_address_and_no_other_kind() {
    let bridge = || Found::At(vec![BRIDGE.into()]);
    let reply = ask("cat", TYPE::A, bridge());
    let reply = Packet::parse(&reply).expect("a good reply");
    assert!(reply.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_AVAILABLE));
    assert_eq!((reply.id(), reply.rcode(), reply.questions.len()), (0x1234, RCODE::NoError, 1));
    let [record] = &reply.answers[..] else { panic!("{:?}", reply.answers) };
    assert_eq!((record.name.to_string(), record.ttl), ("cat".to_owned(), KEPT));
    assert_eq!(record.rdata, RData::A(A::from(BRIDGE)));

    for kind in [TYPE::AAAA, TYPE::TXT, TYPE::MX] {
        let reply = ask("cat", kind, bridge());
        let reply = Packet::parse(&reply).expect("a good reply");
        assert_eq!((reply.rcode(), reply.answers.len()), (RCODE::NoError, 0), "{kind:?}");
    }
}

#[test]
fn an_unknown_name_is_told_so_and_one_of_others_passed_on() {
    assert_eq!(code(&ask("nosuch", TYPE::A, Found::Nowhere)), RCODE::NameError);
    let message = bytes(&question("example.com", TYPE::A.into()));
    assert_eq!(answer(&message, |_| Found::Elsewhere), Verdict::Forward);
    assert_eq!(code(&failed(&message)), RCODE::ServerFailure);
}

#[test]
fn the_name_is_looked_for_in_lower_case() {
    let message = bytes(&question("CaT.Pets", TYPE::A.into()));
    let mut asked = String::new();
    let verdict = answer(&message, |name| {
        asked = name.to_owned();
        Found::At(vec![BRIDGE.into()])
    });
    assert_eq!(asked, "cat.pets");
    // Some askers check that the name comes back as they wrote it.
    let Verdict::Answer(reply) = verdict else { panic!("{verdict:?}") };
    let reply = Packet::parse(&reply).expect("a good reply");
    assert_eq!(reply.questions[0].qname.to_string(), "CaT.Pets");
}

#[test]
fn what_an_asker_can_do_is_met_with_what_we_can_do() {
    let mut packet = question("cat", TYPE::A.into());
    *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 4096, version: 0 });
    let Verdict::Answer(reply) = answer(&bytes(&packet), |_| Found::At(vec![BRIDGE.into()])) else {
        panic!("not answered");
    };
    let reply = Packet::parse(&reply).expect("a good reply");
    assert_eq!(reply.opt().map(|opt| opt.udp_packet_size), Some(LARGEST_DATAGRAM));
}

#[test]
fn many_addresses_fit_into_the_smallest_datagram() {
    let many = (0..100).map(|low| Ipv6Addr::from(low).into()).collect();
    let long = format!("{0}.{0}.{0}.x", "a".repeat(63));
    let reply = ask(&long, TYPE::AAAA, Found::At(many));
    assert!(reply.len() <= 512, "{}", reply.len());
    assert_eq!(Packet::parse(&reply).expect("a good reply").answers.len(), MOST_ADDRESSES);
}

#[test]
fn what_is_no_plain_question_is_refused_without_looking() {
    let refused = |packet: &Packet<'_>| {
        let verdict = answer(&bytes(packet), |_| panic!("it looked"));
        let Verdict::Answer(reply) = verdict else { panic!("{verdict:?}") };
        code(&reply)
    };
    let mut notify = question("cat", TYPE::A.into());
    *notify.opcode_mut() = OPCODE::Notify;
    assert_eq!(refused(&notify), RCODE::NotImplemented);
    assert_eq!(refused(&question("cat", QTYPE::AXFR)), RCODE::NotImplemented);
    let mut chaos = question("version.bind", TYPE::TXT.into());
    chaos.questions[0].qclass = CLASS::CH.into();
    assert_eq!(refused(&chaos), RCODE::Refused);
    let mut two = question("cat", TYPE::A.into());
    two.questions.push(two.questions[0].clone());
    assert_eq!(refused(&two), RCODE::FormatError);
    assert_eq!(refused(&Packet::new_query(1)), RCODE::FormatError);

    let mut reply = question("cat", TYPE::A.into());
    reply.set_flags(PacketFlag::RESPONSE);
    assert_eq!(answer(&bytes(&reply), |_| panic!("it looked")), Verdict::Nothing);
}

#[test]
fn a_head_that_claims_many_records_is_not_believed() {
    let mut message = vec![0; HEAD];
    message[4..].fill(0xff);
    let verdict = answer(&message, |_| panic!("it looked"));
    let Verdict::Answer(reply) = verdict else { panic!("{verdict:?}") };
    assert_eq!(reply.len(), HEAD);
}

proptest! {
    #[test]
    fn no_bytes_panic(message in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = answer(&message, |_| Found::At(vec![BRIDGE.into()]));
        let _ = failed(&message);
    }

    /// Heads that are believed, so that what follows is read.
    #[test]
    fn no_question_panics(
        rest in proptest::collection::vec(any::<u8>(), 0..300),
        extra in 0..=2_u8,
    ) {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, extra];
        message.extend(rest);
        for found in [Found::At(vec![BRIDGE.into()]), Found::Nowhere, Found::Elsewhere] {
            let _ = answer(&message, |_| found);
        }
        let _ = failed(&message);
    }

    /// A good message with a few bytes changed or missing.
    #[test]
    fn no_damaged_question_panics(
        changes in proptest::collection::vec((0..80_usize, any::<u8>()), 0..4),
        length in 0..80_usize,
    ) {
        let mut packet = question("cat.openfaas-fn.svc.cluster.local", TYPE::A.into());
        *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 1232, version: 0 });
        let mut message = bytes(&packet);
        for (at, byte) in changes {
            if let Some(place) = message.get_mut(at) {
                *place = byte;
            }
        }
        message.truncate(length.max(20));
        if let Verdict::Answer(reply) = answer(&message, |_| Found::At(vec![BRIDGE.into()])) {
            prop_assert!(reply.len() <= 512 && reply[2] & 0x80 != 0);
        }
    }
}
