//! Requests to one server, which are measured in turn with those to others, so that what changes on the machine changes for
//! all.

use std::{borrow::Cow, cell::Cell, time::Duration};

use crate::{
    drive::{Figures, Plan, drive},
    http::{CONNECTIONS, Next, Sender, Target, get},
    machine::Watched,
    table::Line,
};

/// Requests to one server.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) who: String,
    target: Target,
    watched: Vec<Watched>,
    requests: Vec<Vec<u8>>,
    clients: usize,
}

impl Case {
    /// Each path with each key, until the longer list ends, and then again: by as many clients as load a server.
    pub(crate) fn new(
        who: impl Into<String>,
        (target, watched): (Target, Vec<Watched>),
        paths: &[String],
        keys: &[String],
    ) -> Self {
        let pairs = paths.iter().cycle().zip(keys.iter().cycle());
        let requests = pairs
            .take(paths.len().max(keys.len()))
            .map(|(path, key)| get(&target.host(), path, key))
            .collect();
        Self {
            who: who.into(),
            target,
            watched,
            requests,
            clients: CONNECTIONS,
        }
    }

    /// The same by one client.
    pub(crate) fn alone(&self) -> Self {
        Self {
            who: format!("{}, one client", self.who),
            clients: 1,
            ..self.clone()
        }
    }

    async fn run(&self, plan: Plan) -> Figures {
        let turn = Cell::new(0);
        let next: &Next<'_> = &|| {
            turn.set((turn.get() + 1) % self.requests.len());
            Some(Cow::Borrowed(self.requests[turn.get()].as_slice()))
        };
        let senders = Sender::some(self.clients, &self.target, next).await;
        drive(senders, &self.watched, plan).await
    }
}

/// Runs of all of them.
pub(crate) async fn measure(cases: &[Case], fsync: Option<Duration>, plan: Plan) -> Vec<Line> {
    let mut runs = vec![Vec::new(); cases.len()];
    for _ in 0..plan.runs {
        for (case, runs) in cases.iter().zip(&mut runs) {
            runs.push(case.run(plan).await);
        }
    }
    let lines = cases.iter().zip(runs).map(|(case, runs)| Line {
        who: case.who.clone(),
        figures: Figures::median(&runs),
        fsync,
    });
    lines.collect()
}
