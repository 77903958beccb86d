//! A rate that several nodes share. A store keeps the shared cell; each node takes units from it in blocks, its *lease*, and spends
//! them by itself, beside a cell of its own. The own cell always leads: what is shared can refuse more, and lets in no more.
//!
//! A node waits for the store only when it has nothing in hand of a rate that is in use and may have something left.

use crate::rate::{Left, Rate, Verdict, ceil_s};

/// Units that a node may spend before it has asked at all, so that a rate that is seldom used waits for nobody.
pub const SLACK: i64 = 2;
/// So much of what was spent beyond the burst does the shared cell remember; it has to be earned before anything else is given.
pub const CARRY: i64 = 16;
/// For how long what was told is taken for what is.
const NEWS_US: i64 = 1_000_000;
/// For how long a lease should last at the present pace, and the least time that a pace is measured over.
const LEASE_US: i64 = 250_000;
const PACE_MIN_US: i64 = 10_000;

/// What a node asks of the shared cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Units that were spent without a lease; below zero, units of a lease that are given back.
    pub settled: i64,
    /// Units that requests wait for. They are given as far as there are any.
    pub needed: i64,
    /// Units that the node would like to have. At most an eighth of what is left is given for that: what one node has in hand is
    /// missing at the others.
    pub wanted: i64,
}

/// What the shared cell answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Units for the node.
    pub units: i64,
    /// How long until everything that was taken is earned, by the store's own clock. No two clocks are ever compared.
    pub owed_us: i64,
}

/// Whether a node may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spend {
    /// It did.
    Spent,
    /// It must ask first.
    Ask,
    /// Nothing is left, and so much would be in so many microseconds.
    Dry {
        /// The wait.
        wait_us: i64,
    },
}

/// A node's part of one shared rate.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lease {
    /// In hand; below zero, spent and not told yet.
    units: i64,
    /// In hand after the last grant.
    block: i64,
    /// What is being told.
    settling: i64,
    /// What requests wait for.
    needed: i64,
    /// Spent since it was last asked, and when that was.
    spent: i64,
    asked_us: Option<i64>,
    /// When something was spent last.
    spent_us: i64,
    /// The shared cell's state in this node's time, and when it was told.
    earned_us: i64,
    told_us: Option<i64>,
    /// An answer is to come.
    asking: bool,
    answers: u32,
}

impl Lease {
    /// Spends `cost` units, if it may, when the own cell's state is `own_us`. Of more than the burst at once only that one knows.
    pub fn spend(&mut self, rate: Rate, own_us: i64, now_us: i64, cost: i64) -> Spend {
        let cost = cost.min(rate.burst());
        self.forget_earned(rate, own_us, now_us);
        // What is being told is owed until there is an answer.
        let lacking = cost
            .saturating_sub(self.units)
            .saturating_add(self.settling);
        if lacking > 0 {
            let verdict = rate.decide(self.earned_us, now_us, lacking.min(rate.burst()));
            if let Verdict::Refused { wait_us } = verdict {
                return Spend::Dry { wait_us };
            }
            if lacking > SLACK || self.is_news(now_us) {
                self.needed = self.needed.saturating_add(cost);
                return Spend::Ask;
            }
        }
        self.overspend(rate, now_us, cost);
        Spend::Spent
    }

    /// Spends them, whatever was agreed: the store cannot be asked. It will be told.
    pub fn overspend(&mut self, rate: Rate, now_us: i64, cost: i64) {
        let cost = cost.min(rate.burst());
        self.units = self
            .units
            .saturating_sub(cost)
            .max(rate.burst().saturating_neg());
        self.spent = self.spent.saturating_add(cost);
        self.spent_us = now_us;
    }

    /// How a rate stands, when the own cell says `left`.
    #[must_use]
    pub fn tightened(&self, rate: Rate, now_us: i64, left: Left) -> Left {
        if self.told_us.is_none() {
            return left;
        }
        let in_hand = self.units.max(0);
        let others = rate.units_left(self.earned_us, now_us);
        let owed_us = self.earned_us.saturating_sub(now_us);
        let owed_us = owed_us.saturating_sub(rate.earned_in_us(in_hand));
        Left {
            units: left.units.min(others.saturating_add(in_hand)),
            full_in_s: left.full_in_s.max(ceil_s(owed_us)),
            ..left
        }
    }

    /// Whether the store should be asked now, for more or because there is something to tell. If so, [`Lease::ask`] must follow.
    pub fn wants(&mut self, rate: Rate, now_us: i64) -> bool {
        let has_enough = self.needed == 0 && self.units.saturating_mul(2) > self.block;
        let is_pointless = self.needed == 0 && self.units >= 0 && !self.may_have_one(rate, now_us);
        if self.asking || has_enough || is_pointless {
            return false;
        }
        self.asking = true;
        true
    }

    /// Whether there is a lease that nobody has used for a while. If so, [`Lease::ask`] must follow, which gives it back.
    pub fn is_left_over(&mut self, now_us: i64) -> bool {
        let is_left_over = !self.asking && self.units > 0 && self.is_idle(now_us);
        self.asking |= is_left_over;
        is_left_over
    }

    /// What the store is asked. [`Lease::grant`] or [`Lease::missed`] must follow. The own cell's state is `own_us`.
    pub fn ask(&mut self, rate: Rate, own_us: i64, now_us: i64) -> Ask {
        self.forget_earned(rate, own_us, now_us);
        let needed = self.needed.min(rate.burst());
        let in_hand = self.units.max(0);
        if needed == 0 && in_hand > 0 && self.is_idle(now_us) {
            self.units = 0;
            return Ask {
                settled: in_hand.saturating_neg(),
                needed,
                wanted: 0,
            };
        }
        let since_us = self.asked_us.map_or(LEASE_US, |asked_us| {
            now_us.saturating_sub(asked_us).max(PACE_MIN_US)
        });
        let pace = self.spent.saturating_mul(LEASE_US).checked_div(since_us);
        let wanted = pace.unwrap_or_default().clamp(1, rate.burst());
        self.settling = self.units.saturating_neg().max(0);
        (self.units, self.needed, self.spent) = (in_hand, 0, 0);
        self.asked_us = Some(now_us);
        Ask {
            settled: self.settling,
            needed,
            wanted: wanted.saturating_sub(in_hand).max(0),
        }
    }

    /// The store has answered.
    pub fn grant(&mut self, now_us: i64, grant: Grant) {
        self.units = self.units.saturating_add(grant.units);
        self.block = self.units;
        self.earned_us = now_us.saturating_add(grant.owed_us);
        self.told_us = Some(now_us);
        self.answered();
    }

    /// The store has not answered. What was told is told again.
    pub fn missed(&mut self) {
        self.units = self.units.saturating_sub(self.settling);
        self.answered();
    }

    /// How often the store has answered, or not. Whoever waits for it tries again when this has changed.
    #[must_use]
    pub const fn answers(&self) -> u32 {
        self.answers
    }

    /// Whoever waits comes again, and says so.
    const fn answered(&mut self) {
        (self.settling, self.needed, self.asking) = (0, 0, false);
        self.answers = self.answers.wrapping_add(1);
    }

    /// Of what was spent while the store was away, only what is not earned again has to be told.
    fn forget_earned(&mut self, rate: Rate, own_us: i64, now_us: i64) {
        let left = rate.units_left(own_us, now_us);
        let owed = rate.burst().saturating_sub(left).max(SLACK);
        self.units = self.units.max(owed.saturating_neg());
    }

    /// Whether there is something to spend, or to give back one day.
    #[must_use]
    pub const fn is_in_hand(&self) -> bool {
        self.units > 0
    }

    fn may_have_one(&self, rate: Rate, now_us: i64) -> bool {
        let verdict = rate.decide(self.earned_us, now_us, 1);
        matches!(verdict, Verdict::Passed(_))
    }

    /// Neither spent from nor given to: who waits for what was given has yet to spend it.
    fn is_idle(&self, now_us: i64) -> bool {
        !self.is_news(now_us) && now_us.saturating_sub(self.spent_us) > NEWS_US
    }

    fn is_news(&self, now_us: i64) -> bool {
        self.told_us
            .is_some_and(|told_us| now_us.saturating_sub(told_us) <= NEWS_US)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    /// The shared cell, as `lease.lua` of the engine keeps it.
    #[derive(Default)]
    struct Store {
        earned_us: i64,
    }

    impl Store {
        fn draw(&mut self, rate: Rate, now_us: i64, ask: Ask) -> Grant {
            let us = |units: i64| rate.earned_in_us(units);
            let settled = if ask.settled < 0 {
                -us(-ask.settled)
            } else {
                us(ask.settled)
            };
            let earned = (self.earned_us.max(now_us) + settled).max(now_us);
            let earned = earned.min(now_us + us(rate.burst() + CARRY));
            let left = rate.units_left(earned, now_us);
            let units = left.min(ask.needed.max(ask.wanted.min(left / 8)));
            self.earned_us = earned + us(units);
            let owed_us = self.earned_us - now_us;
            Grant { units, owed_us }
        }
    }

    /// A node: its own cell, its lease, an answer on its way, and how far its clock is off.
    #[derive(Default)]
    struct Node {
        earned_us: i64,
        lease: Lease,
        answer: Option<Grant>,
        asked: bool,
        skew_us: i64,
    }

    impl Node {
        /// Whether a request passes; None when it has to wait.
        fn request(&mut self, rate: Rate, now_us: i64, cost: i64, here: bool) -> Option<bool> {
            let now_us = now_us + self.skew_us;
            let Verdict::Passed(left) = rate.decide(self.earned_us, now_us, cost) else {
                return Some(false);
            };
            let spend = if here {
                self.lease.spend(rate, self.earned_us, now_us, cost)
            } else {
                self.lease.overspend(rate, now_us, cost);
                Spend::Spent
            };
            if spend == Spend::Spent {
                self.earned_us = left.earned_us;
            }
            self.asked |= here && self.lease.wants(rate, now_us);
            match spend {
                Spend::Spent => Some(true),
                Spend::Dry { wait_us } => {
                    assert!(wait_us > 0);
                    Some(false)
                }
                Spend::Ask => None,
            }
        }

        /// Whether a request passes that waits for its answers.
        fn patient(&mut self, rate: Rate, now_us: i64, cost: i64, store: &mut Store) -> bool {
            for _ in 0..3 {
                if let Some(passed) = self.request(rate, now_us, cost, true) {
                    return passed;
                }
                self.send(rate, now_us, store);
                self.receive(now_us);
            }
            panic!("an answer after three rounds")
        }

        fn send(&mut self, rate: Rate, now_us: i64, store: &mut Store) {
            let at_us = now_us + self.skew_us;
            self.asked |= self.lease.is_left_over(at_us);
            if std::mem::take(&mut self.asked) {
                let ask = self.lease.ask(rate, self.earned_us, at_us);
                self.answer = Some(store.draw(rate, now_us, ask));
            }
        }

        fn receive(&mut self, now_us: i64) {
            if let Some(grant) = self.answer.take() {
                self.lease.grant(now_us + self.skew_us, grant);
            }
        }

        fn lose(&mut self) {
            let asked = std::mem::take(&mut self.asked);
            if asked || self.answer.take().is_some() {
                self.lease.missed();
            }
            self.answer = None;
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Request {
            node: usize,
            cost: i64,
        },
        /// As many as are let in, each waiting for its answers.
        Flood {
            node: usize,
        },
        Send {
            node: usize,
        },
        Receive {
            node: usize,
        },
        Wait {
            us: i64,
        },
        Die,
        Return {
            empty: bool,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        let node = 0..4_usize;
        prop_oneof![
            12 => (node.clone(), 1..=2_i64).prop_map(|(node, cost)| Step::Request { node, cost }),
            2 => node.clone().prop_map(|node| Step::Flood { node }),
            4 => node.clone().prop_map(|node| Step::Send { node }),
            4 => node.prop_map(|node| Step::Receive { node }),
            3 => prop_oneof![0..2_000_i64, 0..3_000_000_i64].prop_map(|us| Step::Wait { us }),
        ]
    }

    fn step_with_deaths() -> impl Strategy<Value = Step> {
        prop_oneof![
            30 => step(),
            1 => Just(Step::Die),
            1 => any::<bool>().prop_map(|empty| Step::Return { empty }),
        ]
    }

    /// Plays the steps; whenever the store could be asked since some instant, what passed since then is within the shared rate.
    fn play(rate: Rate, skews: &[i64], steps: &[Step]) {
        let mut nodes: Vec<Node> = skews
            .iter()
            .map(|&skew_us| Node {
                // As a cell has it that nobody has used for long, whatever its clock says.
                earned_us: i64::MIN,
                skew_us,
                ..Node::default()
            })
            .collect();
        let (mut store, mut here) = (Store::default(), true);
        let (mut now_us, mut since_us, mut round_us) = (MINUTE_US, MINUTE_US, MINUTE_US);
        let (mut passed, mut held, mut of_node) = (0, 0, vec![0; nodes.len()]);
        for step in steps {
            match *step {
                Step::Request { node, cost } => {
                    let node = node % nodes.len();
                    if nodes[node].request(rate, now_us, cost, here) == Some(true) {
                        passed += cost;
                        of_node[node] += cost;
                    }
                }
                Step::Flood { node } if here => {
                    let node = node % nodes.len();
                    while nodes[node].patient(rate, now_us, 1, &mut store) {
                        passed += 1;
                        of_node[node] += 1;
                    }
                }
                Step::Send { node } if here => {
                    let node = node % skews.len();
                    nodes[node].send(rate, now_us, &mut store);
                }
                Step::Receive { node } if here => nodes[node % skews.len()].receive(now_us),
                Step::Flood { .. } | Step::Send { .. } | Step::Receive { .. } => {}
                Step::Wait { us } => {
                    now_us += us;
                    // Answers take so long at most; or else the store counts as away.
                    if here && now_us - round_us > LEASE_US {
                        round_us = now_us;
                        for node in &mut nodes {
                            node.receive(now_us);
                            node.send(rate, now_us, &mut store);
                            node.receive(now_us);
                        }
                    }
                }
                Step::Die => {
                    here = false;
                    nodes.iter_mut().for_each(Node::lose);
                }
                Step::Return { .. } if here => {}
                Step::Return { empty } => {
                    if empty {
                        store = Store::default();
                    }
                    (here, since_us, passed) = (true, now_us, 0);
                    held = nodes.iter().map(|node| node.lease.units.max(0)).sum();
                }
            }
            let earned = |since_us| (now_us - since_us) * rate.per_minute() / MINUTE_US + 1;
            let alone = rate.burst() + earned(MINUTE_US);
            assert!(of_node.iter().all(|&count| count <= alone), "{of_node:?}");
            let nodes = i64::try_from(skews.len()).unwrap();
            let shared = rate.burst() + earned(since_us) + nodes * SLACK + held;
            assert!(!here || passed <= shared, "{passed} of {shared}");
        }
    }

    #[test]
    fn what_was_told_in_vain_is_told_again() {
        let (rate, mut lease) = (Rate::new(60, 10).unwrap(), Lease::default());
        for now_us in [0, 10] {
            assert_eq!(lease.spend(rate, 0, now_us, 1), Spend::Spent);
        }
        let mut tell = || {
            assert!(lease.wants(rate, 10) && !lease.wants(rate, 10));
            let settled = lease.ask(rate, 2_000_000, 10).settled;
            lease.missed();
            settled
        };
        assert_eq!((tell(), tell()), (2, 2));
        for _ in 0..20 {
            lease.overspend(rate, 20, 1);
        }
        assert!(lease.wants(rate, 20));
        assert_eq!(
            lease.ask(rate, 7_000_000, 20).settled,
            7,
            "what is not earned again"
        );
    }

    proptest! {
        #[test]
        fn nodes_together_let_in_what_one_would_and_a_little(
            per_minute in 1..300_i64, burst in 2..60_i64,
            skews in prop::collection::vec(0..MINUTE_US * 9000, 1..=4),
            steps in prop::collection::vec(step(), 1..1500),
        ) {
            play(Rate::new(per_minute, burst).unwrap(), &skews, &steps);
        }

        #[test]
        fn without_the_store_no_node_lets_in_more_than_alone_and_with_it_again_they_share(
            per_minute in 1..300_i64, burst in 2..60_i64,
            skews in prop::collection::vec(0..MINUTE_US, 1..=4),
            steps in prop::collection::vec(step_with_deaths(), 1..1500),
        ) {
            play(Rate::new(per_minute, burst).unwrap(), &skews, &steps);
        }

        #[test]
        fn a_node_that_shares_with_nobody_refuses_nothing_that_it_would_let_in_alone(
            per_minute in 1..100_000_i64, burst in 2..500_i64,
            requests in prop::collection::vec((0..200_000_i64, 1..=2_i64), 1..500),
        ) {
            let rate = Rate::new(per_minute, burst).unwrap();
            let (mut store, mut node, mut now_us) = (Store::default(), Node::default(), MINUTE_US);
            for (pause_us, cost) in requests {
                now_us += pause_us;
                let alone = matches!(rate.decide(node.earned_us, now_us, cost), Verdict::Passed(_));
                prop_assert_eq!(node.patient(rate, now_us, cost, &mut store), alone);
                node.send(rate, now_us, &mut store);
                node.receive(now_us);
            }
        }
    }
}
