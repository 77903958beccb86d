//! Memory of the processes that have just started and were asked for nothing yet.

use std::time::Duration;

use crate::{
    drive::Plan,
    stage::Stage,
    table::{Judged, Measured, Unit},
};

pub(super) const HOW: &str = "Resident memory of `coffer up` and its three roles, the simulator apart, a few seconds after \
    their start. The share counts a page that several processes have in common (they run the same program) once.";
pub(super) const LIMIT: &str = "Each role is a process of its own: what the program itself takes is resident four times, \
    and shared. Beside it: the buffers of the readers and the writer of each store, and two runtime threads with their \
    arenas each.";

const MEGABYTE: f64 = 1e6;
const SETTLED: Duration = Duration::from_secs(3);

pub(super) async fn measure(stage: &Stage, _: Plan) -> Measured {
    tokio::time::sleep(SETTLED).await;
    let roles = ["api", "vault", "keys"].map(|role| stage.role(role));
    let processes = [&roles[..], &[stage.supervisor()]].concat();
    let each: Vec<_> = processes
        .iter()
        .map(|process| (process.name, process.memory()))
        .collect();
    let notes = each.iter().map(|(name, (resident, share))| {
        let (resident, share) = (*resident as f64 / MEGABYTE, *share as f64 / MEGABYTE);
        format!("{name}: {resident:.1} MB resident, a share of {share:.1} MB")
    });
    let notes = notes.collect();
    let sum: u64 = each.iter().map(|(_, (resident, _))| resident).sum();
    let judged = Judged {
        what: "memory, idle, all processes but the simulator (resident)".to_owned(),
        value: sum as f64 / MEGABYTE,
        unit: Unit::Megabytes,
        floor: 90.0,
        aim: 60.0,
        from: "fixed; nginx 16, axum 8, OpenBao 104 MB".to_owned(),
        fsync: None,
    };
    Measured {
        judged: vec![judged],
        lines: Vec::new(),
        notes,
    }
}
