//! Room for requests: so many are worked on at the same time, and when they get many, those that can best be repeated later are
//! refused first. What moves money never waits behind lists.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    problems::{Code, Problem},
    routes::{Content, RouteRow, Verb},
};

/// Requests that are worked on at the same time.
const REQUESTS_MAX: usize = 1024;

/// What a request is worth when there is no room for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// It can be asked again at any time.
    List,
    /// One object, or a small change.
    Plain,
    /// It moves money.
    Money,
}

impl Worth {
    /// Of a route.
    pub(crate) fn of(row: &RouteRow) -> Self {
        let moves_money = ["/v1/payments", "/v1/refunds"]
            .iter()
            .any(|path| row.path().starts_with(path));
        match (row.verb(), row.content()) {
            (Verb::Post, _) if moves_money => Self::Money,
            (_, Content::List(_) | Content::Export) => Self::List,
            (_, Content::Object(_) | Content::Json | Content::Page | Content::Empty) => Self::Plain,
        }
    }

    /// How many requests may be there already.
    const fn room(self) -> usize {
        match self {
            Self::List => REQUESTS_MAX / 4,
            Self::Plain => REQUESTS_MAX / 4 * 3,
            Self::Money => REQUESTS_MAX,
        }
    }
}

/// How many requests there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room(Arc<AtomicUsize>);

/// A request's place, as long as it is worked on.
#[derive(Debug)]
pub(crate) struct Seat(Room);

impl Room {
    /// A place for a request of this worth.
    pub(crate) fn seat(&self, worth: Worth) -> Result<Seat, Problem> {
        let there = self.0.fetch_add(1, Ordering::AcqRel);
        // Given back by its drop when it is one too many.
        let seat = Seat(self.clone());
        if there < worth.room() {
            Ok(seat)
        } else {
            Err(Problem::new(Code::Overloaded))
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::routes;

    #[test]
    fn what_moves_money_finds_room_when_lists_do_not() {
        let room = Room::default();
        let mut seats = Vec::new();
        while let Ok(seat) = room.seat(Worth::List) {
            seats.push(seat);
        }
        assert!(room.seat(Worth::Plain).is_ok() && room.seat(Worth::Money).is_ok());
        while let Ok(seat) = room.seat(Worth::Plain) {
            seats.push(seat);
        }
        assert!(room.seat(Worth::List).is_err());
        while let Ok(seat) = room.seat(Worth::Money) {
            seats.push(seat);
        }
        assert_eq!(seats.len(), REQUESTS_MAX);
        drop(seats);
        assert!(room.seat(Worth::List).is_ok());
    }

    #[test]
    fn captures_and_refunds_are_worth_most_and_lists_least() {
        let worth = |route: &str| {
            let row = routes().iter().find(|row| row.route() == route).unwrap();
            Worth::of(row)
        };
        for money in [
            "POST /v1/payments",
            "POST /v1/payments/{id}/capture",
            "POST /v1/payments/{id}/cancel",
            "POST /v1/refunds",
        ] {
            assert_eq!(worth(money), Worth::Money);
        }
        assert_eq!(worth("GET /v1/payments"), Worth::List);
        assert_eq!(worth("GET /v1/payments/{id}"), Worth::Plain);
    }
}
