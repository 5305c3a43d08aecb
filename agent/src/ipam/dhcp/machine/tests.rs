//! The client against a server that answers, refuses, or is silent, on a clock of the tests' own.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::ipam::dhcp::terms::tests::terms;

const OCTETS: [u8; 4] = [10, 1, 0, 7];
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::from_octets(OCTETS));
const SERVER: Server = Server::V4(Ipv4Addr::new(10, 1, 0, 1));

/// A client and its dice.
struct Rig {
    machine: Machine,
    dice: Dice,
    now_ms: u64,
}

impl Rig {
    fn of(machine: Machine) -> Self {
        Self { machine, dice: Dice::seeded(7), now_ms: 0 }
    }

    /// Goes on to the next thing that happens by itself.
    fn next(&mut self) -> Event {
        for _ in 0..10 {
            self.now_ms = self.now_ms.max(self.machine.next_ms());
            if let Some(event) = self.machine.wake(self.now_ms, &mut self.dice) {
                return event;
            }
        }
        unreachable!("it does nothing any more: {:?}", self.machine)
    }

    fn hear(&mut self, kind: Kind) -> Option<Event> {
        let reply = Reply { kind, xid: self.machine.xid, server: SERVER };
        self.machine.hear(self.now_ms, reply, &mut self.dice)
    }

    fn bound(lease_s: u32) -> Self {
        let mut rig = Self::of(Machine::new(0));
        rig.next();
        rig.hear(Kind::Offer { address: ADDRESS });
        assert_eq!(rig.hear(ack(lease_s)), Some(Event::Bound));
        rig
    }
}

fn ack(lease_s: u32) -> Kind {
    Kind::Ack(Box::new(Ok(terms(OCTETS, lease_s))))
}

fn to_all(ask: Ask) -> Event {
    Event::Send { ask, to_server: false }
}

#[test]
fn a_lease_is_searched_offered_asked_for_and_given() {
    let mut rig = Rig::of(Machine::new(0));
    assert_eq!(rig.next(), to_all(Ask::Discover));
    assert_eq!(rig.hear(ack(60)), None, "nobody was asked yet");
    let select = Ask::Select { address: ADDRESS, server: SERVER };
    assert_eq!(rig.hear(Kind::Offer { address: ADDRESS }), Some(to_all(select)));
    assert_eq!(rig.hear(ack(60)), Some(Event::Bound));
    assert_eq!(rig.machine.state(), State::Bound);
    assert_eq!(rig.machine.lease().unwrap().ends_ms(), 60_000);
    assert!((27_000..=30_000).contains(&rig.machine.next_ms()));
}

#[test]
fn the_search_slows_down_and_never_ends() {
    let mut rig = Rig::of(Machine::new(0));
    let mut times = Vec::new();
    for _ in 0..20 {
        assert_eq!(rig.next(), to_all(Ask::Discover));
        times.push(rig.now_ms);
    }
    assert!((750..=1250).contains(&(times[1] - times[0])));
    assert!((48_000..=80_000).contains(&(times[19] - times[18])));
}

#[test]
fn an_offer_whose_server_falls_silent_is_given_up() {
    let mut rig = Rig::of(Machine::new(0));
    rig.next();
    rig.hear(Kind::Offer { address: ADDRESS });
    for _ in 1..REQUESTS_MAX {
        assert!(matches!(rig.next(), Event::Send { ask: Ask::Select { .. }, .. }));
    }
    assert_eq!(rig.next(), to_all(Ask::Discover));
}

#[test]
fn the_server_is_asked_at_t1_all_at_t2_and_then_the_lease_ends() {
    let mut rig = Rig::bound(800);
    let mut to_server = 0;
    loop {
        match rig.next() {
            Event::Send { ask, to_server: true }
                if ask == (Ask::Extend { address: ADDRESS, server: Some(SERVER) }) =>
            {
                assert!((360_000..700_000).contains(&rig.now_ms), "{}", rig.now_ms);
                to_server += 1;
            }
            Event::Send { ask, to_server: false }
                if ask == (Ask::Extend { address: ADDRESS, server: None }) =>
            {
                assert!((700_000..800_000).contains(&rig.now_ms), "{}", rig.now_ms);
            }
            Event::Expired => break,
            other => unreachable!("{other:?}"),
        }
    }
    assert!((2..=6).contains(&to_server), "{to_server}");
    assert_eq!((rig.now_ms, rig.machine.lease()), (800_000, None));
    assert_eq!(rig.next(), to_all(Ask::Discover), "it searches for another");
}

#[test]
fn an_extension_counts_from_its_first_request() {
    let mut rig = Rig::bound(800);
    rig.next();
    let asked = rig.now_ms;
    rig.next();
    assert_eq!(rig.hear(ack(800)), Some(Event::Bound));
    assert_eq!(rig.machine.lease().unwrap().since_ms, asked);
}

#[test]
fn a_refusal_ends_the_lease_at_once_and_refusals_slow_the_search_down() {
    let mut rig = Rig::bound(800);
    rig.next();
    assert_eq!(rig.hear(Kind::Nak), Some(Event::Refused));
    assert_eq!(rig.machine.lease(), None);
    for _ in 0..20 {
        let refused = rig.now_ms;
        assert_eq!(rig.next(), to_all(Ask::Discover));
        assert!(rig.now_ms - refused <= REFUSED_WAIT_MAX_MS);
        rig.hear(Kind::Offer { address: ADDRESS });
        assert_eq!(rig.hear(Kind::Nak), Some(Event::Refused));
    }
}

#[test]
fn an_address_that_is_taken_is_declined_and_the_search_waits() {
    let mut rig = Rig::bound(800);
    let declined = rig.machine.decline(rig.now_ms, &mut rig.dice);
    assert_eq!(declined, Some(Ask::Decline { address: ADDRESS, server: SERVER }));
    assert_eq!(rig.machine.decline(rig.now_ms, &mut rig.dice), None);
    let from = rig.now_ms;
    assert_eq!(rig.next(), to_all(Ask::Discover));
    assert_eq!(rig.now_ms - from, DECLINED_WAIT_MS);
}

#[test]
fn after_a_restart_the_address_is_confirmed_or_used_as_long_as_it_was_given() {
    let lease = Lease { terms: terms(OCTETS, 800), since_ms: 0 };
    let mut rig = Rig::of(Machine::rebooting(lease.clone(), 5_000));
    assert_eq!(rig.next(), to_all(Ask::Reboot { address: ADDRESS }));
    assert_eq!(rig.now_ms, 5_000);
    assert_eq!(rig.hear(ack(900)), Some(Event::Bound));

    let mut rig = Rig::of(Machine::rebooting(lease.clone(), 5_000));
    for _ in 0..REBOOTS_MAX {
        assert_eq!(rig.next(), to_all(Ask::Reboot { address: ADDRESS }));
    }
    assert!(matches!(rig.next(), Event::Send { to_server: true, .. }));
    assert!(rig.now_ms >= 360_000, "the server is let alone until T1");

    let mut rig = Rig::of(Machine::rebooting(lease.clone(), 5_000));
    rig.next();
    assert_eq!(rig.hear(Kind::Nak), Some(Event::Refused));

    let mut rig = Rig::of(Machine::rebooting(lease, 900_000));
    assert_eq!(rig.next(), Event::Expired, "it ended while nobody was there");
}

#[test]
fn a_lease_without_end_is_never_renewed() {
    let mut machine = Machine::new(0);
    let mut dice = Dice::seeded(1);
    machine.wake(0, &mut dice);
    let xid = machine.xid;
    for kind in [Kind::Offer { address: ADDRESS }, ack(u32::MAX)] {
        machine.hear(0, Reply { kind, xid, server: SERVER }, &mut dice);
    }
    assert_eq!((machine.state(), machine.next_ms()), (State::Bound, u64::MAX));
}

#[test]
fn answers_of_others_and_of_other_transactions_are_passed_over() {
    let mut rig = Rig::of(Machine::new(0));
    rig.next();
    let xid = rig.machine.xid.wrapping_add(1);
    let offer = Kind::Offer { address: ADDRESS };
    let foreign = Reply { kind: offer.clone(), xid, server: SERVER };
    assert_eq!(rig.machine.hear(0, foreign, &mut rig.dice), None);
    rig.hear(offer);
    let other = Reply { kind: ack(60), xid: rig.machine.xid, server: Server::V4([10, 1, 0, 2].into()) };
    assert_eq!(rig.machine.hear(0, other, &mut rig.dice), None);
    let unusable = Kind::Ack(Box::new(Err("no mask")));
    assert_eq!(rig.hear(unusable), Some(Event::Unusable("no mask")));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Offer,
    Ack(u32),
    Nak,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..200_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Offer),
        2 => prop_oneof![Just(u32::MAX), 0..5_000_u32].prop_map(Step::Ack),
        1 => Just(Step::Nak),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_lease_is_never_kept_beyond_its_end_and_nobody_is_flooded(
        seed: u64, steps in prop::collection::vec(step(), 1..80),
    ) {
        let (mut dice, mut now) = (Dice::seeded(seed), 0_u64);
        let mut machine = Machine::new(0);
        let mut sent = 0_u64;
        let mut answers = 0_u64;
        for step in steps {
            let kind = match step {
                Step::Wait(ms) => {
                    let until = now + ms;
                    while machine.next_ms() <= until {
                        now = now.max(machine.next_ms());
                        let before = machine.clone();
                        if let Some(Event::Send { .. }) = machine.wake(now, &mut dice) {
                            sent += 1;
                        }
                        prop_assert!(machine.next_ms() > now || machine.state() != before.state(), "{:?}", machine);
                    }
                    now = until;
                    None
                }
                Step::Offer => Some(Kind::Offer { address: ADDRESS }),
                Step::Ack(lease_s) => Some(ack(lease_s)),
                Step::Nak => Some(Kind::Nak),
            };
            if let Some(kind) = kind {
                answers += 1;
                let reply = Reply { kind, xid: machine.xid, server: SERVER };
                if let Some(Event::Send { .. }) = machine.hear(now, reply, &mut dice) {
                    sent += 1;
                }
            }
            if let Some(lease) = machine.lease() {
                prop_assert!(now < lease.ends_ms() || machine.next_ms() <= lease.ends_ms());
            }
            let has_lease = machine.lease().is_some();
            let needs_lease = matches!(machine.state(), State::Bound | State::Renewing | State::Rebinding);
            prop_assert_eq!(has_lease, needs_lease);
            prop_assert!(sent <= now / 700 + 3 * answers + 2, "{} messages in {} ms", sent, now);
        }
    }
}
