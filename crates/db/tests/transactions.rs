//! All or nothing, typed conflicts, values that land where their number says, and no success after the end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use coffer_db::{
    Conflict, ConflictKind, Database, Error, Expect, Migration, Statement, Transaction,
    Unavailable, Value, params,
};
use coffer_testkit::{TestStore, eventually};
use futures_util::future::join_all;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);

const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    name: "accounts",
    sql: "CREATE TABLE accounts (id TEXT PRIMARY KEY, balance {bigint} NOT NULL CHECK (balance >= 0), seal {bytes}) {strict};
          CREATE TABLE entries (account TEXT NOT NULL REFERENCES accounts (id), amount {bigint} NOT NULL) {strict};
          INSERT INTO accounts (id, balance) VALUES ('a', 100), ('b', 0)",
}];

const PAY: Statement = Statement::new(
    "pay",
    "UPDATE accounts SET balance = balance + $2 WHERE id = $1 RETURNING balance",
);
const OPEN: Statement = Statement::new(
    "open",
    "INSERT INTO accounts (balance, id, seal) VALUES ($2, $1, $3)",
);
const ENTRY: Statement = Statement::new(
    "entry",
    "INSERT INTO entries (account, amount) VALUES ($1, $2)",
);
/// Whoever runs it changes this one account and no other.
const SEAL: Statement =
    Statement::new("seal", "UPDATE accounts SET seal = $2 WHERE id = $1").on_own_rows();
/// One account, and only as long as it has no seal.
const SEAL_FIRST: Statement = Statement::new(
    "seal_first",
    "UPDATE accounts SET seal = $2, balance = balance + 1 WHERE id = $1 AND seal IS NULL",
)
.by_key();
const CLEAR: Statement = Statement::new("clear", "DELETE FROM entries");
const ACCOUNT: Statement = Statement::new(
    "account",
    "SELECT id, balance, seal FROM accounts WHERE id = $1",
)
.by_key();
const SWAPPED: Statement =
    Statement::new("swapped", "SELECT $2 AS second, $1 AS first, $2 AS again");
const ENTRIES: Statement = Statement::new(
    "entries",
    "SELECT account, amount FROM entries ORDER BY amount",
);
const STRANGER: Statement = Statement::new("stranger", "SELECT 1 AS one");

const STATEMENTS: &[&Statement] = &[
    &PAY,
    &OPEN,
    &ENTRY,
    &SEAL,
    &SEAL_FIRST,
    &CLEAR,
    &ACCOUNT,
    &SWAPPED,
    &ENTRIES,
];

struct Fixture {
    db: Database,
    store: TestStore,
}

async fn fixture() -> Fixture {
    let store = TestStore::open(SCHEMA, &[STATEMENTS]).await;
    Fixture {
        db: store.db.clone(),
        store,
    }
}

impl Fixture {
    async fn balance(&self, id: &str) -> i64 {
        let account = self.db.read_optional(&ACCOUNT, params![id]).await.unwrap();
        account.unwrap().integer("balance").unwrap()
    }

    async fn conflict(&self, transaction: Transaction) -> Conflict {
        match self.db.transact(transaction).await {
            Err(Error::Conflict(conflict)) => conflict,
            other => panic!("no conflict: {other:?}"),
        }
    }
}

fn transfer(from: &str, to: &str, amount: i64) -> Transaction {
    Transaction::new()
        .one(&PAY, params![from, -amount])
        .one(&PAY, params![to, amount])
}

#[tokio::test]
async fn a_mismatch_rolls_back_every_step() {
    let t = fixture().await;
    let conflict = t.conflict(transfer("a", "nobody", 30)).await;
    let rows = ConflictKind::Rows {
        expected: 1,
        touched: 0,
    };
    assert_eq!(
        conflict,
        Conflict {
            statement: "pay",
            step: 1,
            kind: rows
        }
    );
    assert_eq!(t.balance("a").await, 100);
}

#[tokio::test]
async fn more_rows_than_at_most_is_a_conflict() {
    let t = fixture().await;
    let entries = Transaction::new()
        .one(&ENTRY, params!["a", 1_i64])
        .one(&ENTRY, params!["a", 2_i64]);
    t.db.transact(entries).await.unwrap();
    let conflict = t
        .conflict(Transaction::new().then(&CLEAR, params![], Expect::AtMost(1)))
        .await;
    assert_eq!(
        conflict.kind,
        ConflictKind::Rows {
            expected: 1,
            touched: 2
        }
    );
    assert_eq!(t.db.read(&ENTRIES, params![]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn constraints_are_typed_and_carry_no_value() {
    let t = fixture().await;
    let twin = t
        .conflict(Transaction::new().one(&OPEN, params!["a", 4_242_i64, Value::Null]))
        .await;
    assert_eq!(twin.kind, ConflictKind::Unique);
    let orphan = t
        .conflict(Transaction::new().one(&ENTRY, params!["4242", 1_i64]))
        .await;
    assert_eq!(orphan.kind, ConflictKind::Constraint);
    let overdraft = t.conflict(transfer("a", "b", 4_242)).await;
    assert_eq!(
        overdraft,
        Conflict {
            statement: "pay",
            step: 0,
            kind: ConflictKind::Constraint
        }
    );
    for conflict in [twin, orphan, overdraft] {
        let text = format!("{conflict} {conflict:?}");
        assert!(!text.contains("4242"), "{text}");
    }
}

#[tokio::test]
async fn values_are_bound_by_name_and_not_by_position() {
    let t = fixture().await;
    let row =
        t.db.read_optional(&SWAPPED, params!["one", "two"])
            .await
            .unwrap()
            .unwrap();
    let found = ["first", "second", "again"].map(|column| row.text(column).unwrap());
    assert_eq!(found, ["one", "two", "two"]);
    t.db.transact(Transaction::new().one(&OPEN, params!["c", 7_i64, [1_u8, 2]]))
        .await
        .unwrap();
    let account =
        t.db.read_optional(&ACCOUNT, params!["c"])
            .await
            .unwrap()
            .unwrap();
    assert_eq!(
        (
            account.integer("balance").unwrap(),
            account.bytes("seal").unwrap()
        ),
        (7, [1, 2].as_slice())
    );
}

#[tokio::test]
async fn misuse_is_a_defect_that_names_the_statement() {
    let t = fixture().await;
    let defects = [
        t.db.read(&ACCOUNT, params![]).await.unwrap_err(),
        t.db.read(&ACCOUNT, params!["a", "b"]).await.unwrap_err(),
        t.db.read(&STRANGER, params![]).await.unwrap_err(),
        t.db.read(&CLEAR, params![]).await.unwrap_err(),
        t.db.transact(Transaction::new().any(&STRANGER, params![]))
            .await
            .unwrap_err(),
    ];
    let names = ["account", "account", "stranger", "clear", "stranger"];
    for (defect, name) in defects.into_iter().zip(names) {
        let Error::Defect(text) = defect else {
            panic!("{defect}")
        };
        assert!(text.starts_with(&format!("statement {name}")), "{text}");
    }
}

#[tokio::test]
async fn two_rows_where_one_was_asked_for_are_a_defect() {
    let t = fixture().await;
    let entries = Transaction::new()
        .one(&ENTRY, params!["a", 1_i64])
        .one(&ENTRY, params!["b", 2_i64]);
    t.db.transact(entries).await.unwrap();
    assert!(matches!(
        t.db.read_optional(&ENTRIES, params![]).await,
        Err(Error::Defect(_))
    ));
}

#[tokio::test]
async fn an_outcome_tells_what_each_statement_touched_and_returned() {
    let t = fixture().await;
    let transaction = transfer("a", "b", 30)
        .one(&ENTRY, params!["a", -30_i64])
        .any(&ENTRIES, params![])
        .one(&ACCOUNT, params!["b"])
        .one(&ACCOUNT, params!["a"]);
    let outcome = t.db.transact(transaction).await.unwrap();
    let looked_at = outcome.rows(&ACCOUNT).map(|row| row.text("id").unwrap());
    assert_eq!(looked_at.collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(outcome.touched(&PAY), 2);
    let balances: Vec<_> = outcome
        .rows(&PAY)
        .map(|row| row.integer("balance").unwrap())
        .collect();
    assert_eq!(balances, [70, 30]);
    assert_eq!(
        outcome.first(&ENTRIES).unwrap().text("account").unwrap(),
        "a"
    );
    assert!(outcome.first(&CLEAR).is_none());
}

#[tokio::test]
async fn a_later_step_sees_an_earlier_one() {
    let t = fixture().await;
    let outcome =
        t.db.transact(transfer("a", "b", 40).append(transfer("b", "a", 40)))
            .await
            .unwrap();
    assert_eq!(outcome.touched(&PAY), 4);
    assert_eq!((t.balance("a").await, t.balance("b").await), (100, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_spending_never_exceeds_the_balance() {
    let t = fixture().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..150 {
        let db = t.db.clone();
        tasks.spawn(async move {
            db.transact(transfer("a", "b", 1).one(&ENTRY, params!["a", -1_i64]))
                .await
                .is_ok()
        });
    }
    let spent = tasks.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!(spent, 100);
    assert_eq!((t.balance("a").await, t.balance("b").await), (0, 100));
    assert_eq!(t.db.read(&ENTRIES, params![]).await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_conflict_among_many_at_once_is_its_callers_alone() {
    let fixture = fixture().await;
    let mut running = JoinSet::new();
    for caller in 0..120_i64 {
        let db = fixture.db.clone();
        // Two callers want each name; the steps before the conflict leave nothing behind.
        let name = format!("account {}", caller / 2);
        let steps = Transaction::new()
            .one(&ENTRY, params!["a", caller])
            .one(&OPEN, params![name, caller, Value::Null]);
        running.spawn(async move {
            match db.transact(steps).await {
                Ok(outcome) => (outcome.touched(&OPEN) == 1).then_some(caller),
                Err(Error::Conflict(conflict)) => {
                    assert_eq!((conflict.statement, conflict.step), ("open", 1));
                    None
                }
                Err(other) => panic!("{other}"),
            }
        });
    }
    let done = running.join_all().await;
    let mut opened: Vec<i64> = done.into_iter().flatten().collect();
    opened.sort_unstable();
    let pairs: Vec<i64> = opened.iter().map(|caller| caller / 2).collect();
    assert_eq!(pairs, (0..60).collect::<Vec<_>>());
    let entries = fixture.db.read(&ENTRIES, params![]).await.unwrap();
    let entered: Vec<i64> = entries
        .iter()
        .map(|entry| entry.integer("amount").unwrap())
        .collect();
    assert_eq!(entered, opened);
    for caller in opened {
        let name = format!("account {}", caller / 2);
        assert_eq!(fixture.balance(&name).await, caller);
    }
}

#[tokio::test]
async fn what_many_store_at_once_is_each_callers_own() {
    let t = fixture().await;
    let storing = (0..100_i64).map(async |caller| {
        let name = format!("account {caller}");
        let seal = caller.to_be_bytes();
        let open = Transaction::new().one(&OPEN, params![name.as_str(), caller, Value::Null]);
        // Every third changes what it has just stored, every fifth stores more, some both.
        let open = match caller % 3 {
            0 => open.one(&SEAL, params![name.as_str(), seal]),
            _ => open,
        };
        let entries = (0..=caller % 5).fold(open, |steps, place| {
            steps.one(&ENTRY, params![name.as_str(), caller * 10 + place])
        });
        let outcome = t.db.transact(entries).await.unwrap();
        (
            outcome.touched(&OPEN),
            outcome.touched(&SEAL),
            outcome.touched(&ENTRY),
        )
    });
    let stored = join_all(storing).await;
    let entries = t.db.read(&ENTRIES, params![]).await.unwrap();
    let mut entries = entries.iter();
    for (caller, touched) in (0..100_i64).zip(stored) {
        let name = format!("account {caller}");
        let account = t.db.read_optional(&ACCOUNT, params![name.as_str()]).await;
        let account = account.unwrap().unwrap();
        let sealed = caller.to_be_bytes();
        let sealed = (caller % 3 == 0).then_some(sealed.as_slice());
        assert_eq!(account.integer("balance").unwrap(), caller);
        assert_eq!(account.optional_bytes("seal").unwrap(), sealed);
        for place in 0..=caller % 5 {
            let entry = entries.next().unwrap();
            let found = (
                entry.text("account").unwrap(),
                entry.integer("amount").unwrap(),
            );
            assert_eq!(found, (name.as_str(), caller * 10 + place));
        }
        let more = u64::try_from(caller % 5).unwrap();
        assert_eq!(touched, (1, u64::from(caller % 3 == 0), more + 1));
    }
    assert!(entries.next().is_none());
}

/// Whatever several changes of rows become on the way to a server.
#[tokio::test]
async fn each_of_many_changes_is_of_its_own_row() {
    const LAST: i64 = 40;
    let t = fixture().await;
    let name = |row: i64| format!("account {row}");
    let opened = (0..LAST).fold(Transaction::new(), |steps, row| {
        steps.one(&OPEN, params![name(row), row, Value::Null])
    });
    t.db.transact(opened).await.unwrap();
    let seal = |rows: &[i64], expect| {
        let steps = rows.iter().fold(Transaction::new(), |steps, row| {
            steps.then(&SEAL_FIRST, params![name(*row), row.to_be_bytes()], expect)
        });
        t.db.transact(steps)
    };
    let sealed = async || {
        let mut sealed = Vec::new();
        for row in 0..LAST {
            let account = t.db.read_optional(&ACCOUNT, params![name(row)]).await;
            let account = account.unwrap().unwrap();
            if let Some(seal) = account.optional_bytes("seal").unwrap() {
                assert_eq!(seal, row.to_be_bytes());
                sealed.push(row);
            }
            let changes = i64::from(sealed.last() == Some(&row));
            assert_eq!(account.integer("balance").unwrap(), row + changes);
        }
        sealed
    };

    let few: Vec<i64> = (0..LAST).filter(|row| row % 9 == 4).collect();
    let outcome = seal(&few, Expect::Exactly(1)).await.unwrap();
    assert_eq!(outcome.touched(&SEAL_FIRST), 4);
    assert_eq!(sealed().await, few);

    // One that was sealed before, one that there is none of, one that is named twice: of all the others nothing is kept.
    for (rows, step) in [
        ([1, 2, 4, 5, 6, 7], 2),
        ([1, 2, 3, 5, LAST, 7], 4),
        ([1, 2, 3, 5, 6, 2], 5),
    ] {
        let refused = seal(&rows, Expect::Exactly(1)).await.unwrap_err();
        let kind = ConflictKind::Rows {
            expected: 1,
            touched: 0,
        };
        let expected = Conflict {
            statement: "seal_first",
            step,
            kind,
        };
        assert_eq!(refused, expected.into());
        assert_eq!(sealed().await, few);
    }

    // Where none need be touched, all the others are.
    let all: Vec<i64> = (0..=LAST).chain([7, 7, 4]).collect();
    let outcome = seal(&all, Expect::AtMost(1)).await.unwrap();
    assert_eq!(outcome.touched(&SEAL_FIRST), 36);
    assert_eq!(sealed().await, (0..LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_transaction_is_carried_out_though_its_caller_went_away() {
    use std::future::Future as _;
    let t = fixture().await;
    let mut call = Box::pin(t.db.transact(transfer("a", "b", 10)));
    let waker = std::task::Waker::noop();
    let _ = call
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker));
    drop(call);
    eventually(PATIENCE, "the other half", async || {
        (t.balance("b").await == 10).then_some(())
    })
    .await;
    assert_eq!(t.balance("a").await, 90);
}

#[tokio::test]
async fn nothing_succeeds_after_close() {
    let t = fixture().await;
    t.db.clone().close().await;
    let closed = Error::from(Unavailable::Closed);
    assert_eq!(
        t.db.transact(transfer("a", "b", 1)).await.unwrap_err(),
        closed
    );
    assert_eq!(t.db.transact(Transaction::new()).await.unwrap_err(), closed);
    assert_eq!(t.db.read(&ACCOUNT, params!["a"]).await.unwrap_err(), closed);
    t.db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_keeps_exactly_what_was_answered() {
    let t = fixture().await;
    let mut tasks = tokio::task::JoinSet::new();
    for amount in 0..500_i64 {
        let db = t.db.clone();
        tasks.spawn(async move {
            db.transact(Transaction::new().one(&ENTRY, params!["a", amount]))
                .await
        });
    }
    t.db.close().await;
    let answers = tasks.join_all().await;
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!(error, Unavailable::Closed.into());
    }
    let again = t.store.another().await;
    assert_eq!(again.read(&ENTRIES, params![]).await.unwrap().len(), stored);
}
