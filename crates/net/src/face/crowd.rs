//! Who is at a listener. When it is full, or one client has too much unfinished, somebody has to leave: whoever has kept us
//! waiting longest. Nobody is refused, so a flood of half-open connections keeps no good client out, and a request that has
//! arrived completely is never ended for another.
//!
//! What happens with every request is counted by atomics of the connection; the lock is for coming and going.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::limits::FaceLimits;
use crate::metrics::Eviction;

/// Bits of an IPv6 address that stand for one client: whoever has one address of a network usually has all.
const IPV6_CLIENT_BITS: u32 = 64;
/// How often a full house is looked at where everybody was at work.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The connections of one listener.
pub(super) struct Crowd {
    connections_max: usize,
    unfinished_max: usize,
    guests: Mutex<Guests>,
    left: Notify,
    /// Counts what begins and ends, so that who has waited longest is told without a clock.
    turns: Arc<AtomicU64>,
}

#[derive(Default)]
struct Guests {
    by_client: HashMap<IpAddr, Vec<Arc<Guest>>>,
    count: usize,
}

/// One connection, as far as it matters for who has to leave.
pub(super) struct Guest {
    turns: Arc<AtomicU64>,
    /// Heads (and before them the handshake) that are not complete.
    heads: AtomicU32,
    /// Requests whose body is not complete.
    bodies: AtomicU32,
    /// Requests whose answer is not complete.
    requests: AtomicU32,
    /// The turn at which it last began to wait for its client.
    waits_since: AtomicU64,
    shown_out: Notify,
}

impl Guest {
    fn new(turns: &Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::clone(turns),
            heads: AtomicU32::new(0),
            bodies: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            waits_since: AtomicU64::new(turns.fetch_add(1, Ordering::Relaxed)),
            shown_out: Notify::new(),
        })
    }

    /// A handshake or a head has begun.
    pub(super) fn head(self: &Arc<Self>) -> Mark {
        self.mark(Stage::Head)
    }

    /// A request has come whose body has not.
    pub(super) fn body(self: &Arc<Self>) -> Mark {
        self.mark(Stage::Body)
    }

    /// A request has come.
    pub(super) fn request(self: &Arc<Self>) -> Mark {
        self.mark(Stage::Request)
    }

    /// Whether an answer is in the making.
    pub(super) fn is_working(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Waits until it has to leave.
    pub(super) async fn shown_out(&self) {
        self.shown_out.notified().await;
    }

    fn mark(self: &Arc<Self>, stage: Stage) -> Mark {
        self.counter(stage).fetch_add(1, Ordering::Relaxed);
        self.waits_from_now();
        Mark {
            guest: Arc::clone(self),
            stage,
        }
    }

    const fn counter(&self, stage: Stage) -> &AtomicU32 {
        match stage {
            Stage::Head => &self.heads,
            Stage::Body => &self.bodies,
            Stage::Request => &self.requests,
        }
    }

    /// Its client has just done something.
    pub(super) fn waits_from_now(&self) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        self.waits_since.store(turn, Ordering::Relaxed);
    }

    fn waits_since(&self) -> u64 {
        self.waits_since.load(Ordering::Relaxed)
    }

    fn is_unfinished(&self) -> bool {
        self.heads.load(Ordering::Relaxed) > 0 || self.bodies.load(Ordering::Relaxed) > 0
    }

    /// No request of it has arrived completely and waits for its answer.
    fn may_leave(&self) -> bool {
        self.requests.load(Ordering::Relaxed) <= self.bodies.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy)]
enum Stage {
    Head,
    Body,
    Request,
}

/// Something that a connection has begun; dropped when it is complete.
pub(super) struct Mark {
    guest: Arc<Guest>,
    stage: Stage,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.guest
            .counter(self.stage)
            .fetch_sub(1, Ordering::Relaxed);
        self.guest.waits_from_now();
    }
}

/// A guest's place, free again when dropped.
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    client: IpAddr,
    pub(super) guest: Arc<Guest>,
}

impl Seat {
    /// Counts the connection as this client's from now on, as a proxy says.
    pub(super) fn move_to(&mut self, address: IpAddr) {
        let client = client_of(address);
        let mut guests = self.crowd.lock();
        // Whoever had to leave meanwhile stays gone.
        if guests.remove(self.client, &self.guest) {
            guests.make_room_for(client, self.crowd.unfinished_max);
            guests.insert(client, &self.guest);
        }
        self.client = client;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.lock().remove(self.client, &self.guest);
        self.crowd.left.notify_waiters();
    }
}

impl Crowd {
    pub(super) fn new(limits: &FaceLimits) -> Arc<Self> {
        Arc::new(Self {
            connections_max: limits.connections_max,
            unfinished_max: limits.unfinished_per_address_max,
            guests: Mutex::default(),
            left: Notify::new(),
            turns: Arc::default(),
        })
    }

    /// A place for a connection from this address. Somebody may have to leave for it; when nobody can, it waits.
    /// `is_client` is false for a proxy, which stands for many clients.
    pub(super) async fn admit(self: &Arc<Self>, address: IpAddr, is_client: bool) -> Seat {
        let client = client_of(address);
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            if let Some(seat) = self.try_admit(client, is_client) {
                return seat;
            }
            // Somebody leaves, or has an answer and could.
            let _ = timeout(LOOK_AGAIN, left).await;
        }
    }

    fn try_admit(self: &Arc<Self>, client: IpAddr, is_client: bool) -> Option<Seat> {
        let mut guests = self.lock();
        if is_client {
            guests.make_room_for(client, self.unfinished_max);
        }
        if guests.count >= self.connections_max && !guests.make_room() {
            return None;
        }
        let guest = Guest::new(&self.turns);
        guests.insert(client, &guest);
        drop(guests);
        Some(Seat {
            crowd: Arc::clone(self),
            client,
            guest,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        crate::lock(&self.guests)
    }
}

impl Guests {
    fn insert(&mut self, client: IpAddr, guest: &Arc<Guest>) {
        self.by_client
            .entry(client)
            .or_default()
            .push(Arc::clone(guest));
        self.count = self.count.saturating_add(1);
    }

    fn remove(&mut self, client: IpAddr, guest: &Arc<Guest>) -> bool {
        let Some(all) = self.by_client.get_mut(&client) else {
            return false;
        };
        let Some(place) = all.iter().position(|one| Arc::ptr_eq(one, guest)) else {
            return false;
        };
        all.swap_remove(place);
        if all.is_empty() {
            self.by_client.remove(&client);
        }
        self.count = self.count.saturating_sub(1);
        true
    }

    /// Until one more connection of this client can be unfinished.
    fn make_room_for(&mut self, client: IpAddr, unfinished_max: usize) {
        loop {
            let all = self.by_client.get(&client).map(Vec::as_slice);
            let unfinished = all
                .unwrap_or_default()
                .iter()
                .filter(|guest| guest.is_unfinished() && guest.may_leave());
            if unfinished.clone().count() < unfinished_max {
                return;
            }
            let Some(oldest) = unfinished.min_by_key(|guest| guest.waits_since()).cloned() else {
                return;
            };
            self.show_out(client, &oldest, Eviction::Unfinished);
        }
    }

    /// For one more connection at all, by the client who keeps most of them waiting: of his, the oldest that is unfinished,
    /// or else the oldest that is idle. False when every connection is at work.
    fn make_room(&mut self) -> bool {
        let waiting = |all: &[Arc<Guest>]| all.iter().filter(|guest| guest.may_leave()).count();
        let heaviest = self
            .by_client
            .iter()
            .map(|(client, all)| (waiting(all), *client))
            .max_by_key(|(count, _)| *count)
            .filter(|(count, _)| *count > 0);
        let Some((_, client)) = heaviest else {
            return false;
        };
        let oldest = self
            .by_client
            .get(&client)
            .into_iter()
            .flatten()
            .filter(|guest| guest.may_leave())
            .min_by_key(|guest| (!guest.is_unfinished(), guest.waits_since()))
            .cloned();
        let Some(oldest) = oldest else {
            return false;
        };
        self.show_out(client, &oldest, Eviction::Full);
        true
    }

    fn show_out(&mut self, client: IpAddr, guest: &Arc<Guest>, why: Eviction) {
        self.remove(client, guest);
        why.count();
        guest.shown_out.notify_one();
    }
}

/// The client who has this address.
#[must_use]
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::MAX << (u128::BITS - IPV6_CLIENT_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & network))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, poll};

    use super::*;

    fn crowd(connections_max: usize, unfinished_per_address_max: usize) -> Arc<Crowd> {
        Crowd::new(&FaceLimits {
            connections_max,
            unfinished_per_address_max,
            ..FaceLimits::default()
        })
    }

    struct Coming {
        seat: Seat,
        head: Option<Mark>,
    }

    async fn come(crowd: &Arc<Crowd>, address: &str) -> Coming {
        let seat = crowd.admit(address.parse().unwrap(), true).await;
        let head = Some(seat.guest.head());
        Coming { seat, head }
    }

    fn has_to_leave(coming: &Coming) -> bool {
        coming.seat.guest.shown_out().now_or_never().is_some()
    }

    #[tokio::test]
    async fn the_oldest_unfinished_of_the_same_client_leaves_for_a_new_one() {
        let crowd = crowd(100, 2);
        let other = come(&crowd, "192.0.2.9").await;
        let mut guests = Vec::new();
        for _ in 0..4 {
            guests.push(come(&crowd, "192.0.2.1").await);
        }
        let left: Vec<_> = guests.iter().map(has_to_leave).collect();
        assert_eq!(left, [true, true, false, false]);
        assert!(!has_to_leave(&other));
    }

    #[tokio::test]
    async fn what_is_idle_or_answered_is_not_counted_as_unfinished() {
        let crowd = crowd(100, 1);
        let mut idle = come(&crowd, "192.0.2.1").await;
        idle.head = None;
        let mut busy = come(&crowd, "192.0.2.1").await;
        let _request = busy.seat.guest.request();
        busy.head = None;
        let _new = come(&crowd, "192.0.2.1").await;
        assert!(!has_to_leave(&idle) && !has_to_leave(&busy));
    }

    #[tokio::test]
    async fn a_full_house_loses_the_oldest_unfinished_of_who_has_most_and_never_a_request() {
        let crowd = crowd(4, 100);
        let mut merchant = come(&crowd, "192.0.2.1").await;
        merchant.head = None;
        let mut greedy = Vec::new();
        for _ in 0..3 {
            greedy.push(come(&crowd, "198.51.100.7").await);
        }
        let request = greedy[0].seat.guest.request();
        greedy[0].head = None;
        let new = come(&crowd, "192.0.2.2").await;
        let left: Vec<_> = greedy.iter().map(has_to_leave).collect();
        assert_eq!(left, [false, true, false]);
        assert!(!has_to_leave(&merchant) && !has_to_leave(&new));
        drop(request);
    }

    #[tokio::test]
    async fn when_everybody_is_at_work_a_new_one_waits_for_the_first_to_leave() {
        let crowd = crowd(1, 1);
        let mut busy = come(&crowd, "192.0.2.1").await;
        let request = busy.seat.guest.request();
        busy.head = None;
        let mut new = pin!(crowd.admit("192.0.2.2".parse().unwrap(), true));
        assert!(poll!(new.as_mut()).is_pending());
        drop(request);
        drop(busy);
        new.await;
    }

    #[tokio::test]
    async fn a_request_whose_body_is_missing_may_have_to_leave() {
        let crowd = crowd(100, 1);
        let mut slow = come(&crowd, "192.0.2.1").await;
        let _request = (slow.seat.guest.request(), slow.seat.guest.body());
        slow.head = None;
        let _new = come(&crowd, "192.0.2.1").await;
        assert!(has_to_leave(&slow));
    }

    #[tokio::test]
    async fn an_ipv6_client_is_its_network_and_a_mapped_address_is_ipv4() {
        let crowd = crowd(100, 1);
        let first = come(&crowd, "2001:db8::1").await;
        let elsewhere = come(&crowd, "2001:db8:0:1::1").await;
        let _second = come(&crowd, "2001:db8::ffff:2").await;
        assert!(has_to_leave(&first) && !has_to_leave(&elsewhere));
        let mapped = come(&crowd, "::ffff:192.0.2.1").await;
        let _plain = come(&crowd, "192.0.2.1").await;
        assert!(has_to_leave(&mapped));
    }

    #[tokio::test]
    async fn a_proxy_is_many_clients_until_it_says_which() {
        let crowd = crowd(100, 1);
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let mut seats = Vec::new();
        for _ in 0..3 {
            let seat = crowd.admit(proxy, false).await;
            let head = Some(seat.guest.head());
            seats.push(Coming { seat, head });
        }
        assert!(!seats.iter().any(has_to_leave));
        for coming in &mut seats {
            coming.seat.move_to("192.0.2.1".parse().unwrap());
        }
        let left: Vec<_> = seats.iter().map(has_to_leave).collect();
        assert_eq!(left, [true, true, false]);
        drop(seats);
        assert_eq!(crowd.lock().count, 0);
    }
}
