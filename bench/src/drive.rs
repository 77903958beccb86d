//! Driving: many clients side by side, each doing one thing after another; what is done in the measured time is counted,
//! and what it cost the processes that are watched.

use std::{
    cell::Cell,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::machine::Watched;

/// Something that does one thing after another, and waits for each.
pub(crate) trait Client {
    /// Does the next thing; false when there is nothing left to do. What fails ends the program: a figure of failures
    /// would be worse than none.
    async fn act(&mut self) -> bool;
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Before it is counted.
    pub(crate) warm_up: Duration,
    /// While it is counted.
    pub(crate) measured: Duration,
    /// How often; the median counts.
    pub(crate) runs: usize,
}

/// What was measured of one server in one run, or the medians of several.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// Things done per second.
    pub(crate) rate: f64,
    /// CPU time of each process that was watched, in microseconds per thing done.
    pub(crate) cpu_us: Vec<(&'static str, f64)>,
}

impl Figures {
    /// CPU time per thing done of all that were watched, in microseconds.
    pub(crate) fn cpu_total_us(&self) -> f64 {
        self.cpu_us.iter().map(|(_, us)| us).sum()
    }

    /// When each thing that was counted was so many.
    fn each_of(mut self, times: usize) -> Self {
        self.rate *= times as f64;
        for (_, us) in &mut self.cpu_us {
            *us /= times as f64;
        }
        self
    }

    /// The medians, each figure by itself.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let first = runs.first().expect("at least one run");
        let cpu_of = |place: usize| median(runs.iter().map(|run| run.cpu_us[place].1));
        Self {
            rate: median(runs.iter().map(|run| run.rate)),
            cpu_us: (0..first.cpu_us.len())
                .map(|place| (first.cpu_us[place].0, cpu_of(place)))
                .collect(),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A client that calls a function so often at a time that counting costs nothing beside it.
struct Caller<'s, S> {
    step: &'s S,
    times: usize,
}

impl<S: AsyncFn()> Client for Caller<'_, S> {
    async fn act(&mut self) -> bool {
        for _ in 0..self.times {
            (self.step)().await;
        }
        // What goes on in the background has its turn.
        tokio::task::yield_now().await;
        true
    }
}

/// Some runs of a function of this process, by so many clients, so many times in a row.
pub(crate) async fn repeat(
    step: &impl AsyncFn(),
    (clients, times): (usize, usize),
    watched: &[Watched],
    plan: Plan,
) -> Figures {
    let mut runs = Vec::new();
    for _ in 0..plan.runs {
        let clients = (0..clients).map(|_| Caller { step, times });
        let run = drive(clients.collect(), watched, plan).await;
        runs.push(run.each_of(times));
    }
    Figures::median(&runs)
}

/// One run.
pub(crate) async fn drive(
    mut clients: Vec<impl Client>,
    watched: &[Watched],
    plan: Plan,
) -> Figures {
    let (done, over) = (Cell::new(0_u64), Cell::new(false));
    let work = join_all(clients.iter_mut().map(async |client| {
        while !over.get() && client.act().await {
            done.set(done.get() + 1);
        }
    }));
    // All clients are one task, which would be made to pause for others that do not exist.
    let mut work = pin!(tokio::task::unconstrained(work));
    let moment = || {
        let cpu: Vec<Duration> = watched.iter().map(Watched::cpu).collect();
        (Instant::now(), done.get(), cpu)
    };
    tokio::select! {
        () = sleep(plan.warm_up) => {}
        _ = &mut work => panic!("there was less to do than the warm-up takes"),
    }
    let (began, done_before, cpu_before) = moment();
    let ended = tokio::select! {
        () = sleep(plan.measured) => false,
        _ = &mut work => true,
    };
    let (now, done_after, cpu_after) = moment();
    if !ended {
        over.set(true);
        work.await;
    }
    let things = (done_after - done_before) as f64;
    let cpu = watched.iter().zip(cpu_before.iter().zip(cpu_after));
    Figures {
        rate: things / (now - began).as_secs_f64(),
        cpu_us: cpu
            .map(|(watched, (before, after))| {
                (
                    watched.name,
                    after.saturating_sub(*before).as_secs_f64() * 1e6 / things,
                )
            })
            .collect(),
    }
}
