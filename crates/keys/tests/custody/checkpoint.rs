//! Checkpoints: a log only ever grows, and this role's own log is signed and verifies like the others.

use coffer_audit::{
    Trust, checkpoint_text,
    merkle::{Hash, Tree, leaf_hash, node_hash},
    verify,
};
use coffer_crypto::VerifyingKey;
use coffer_keys::checkpoint_key;
use coffer_net::contract::{
    Error, Refusal, Role,
    keys::{GetCheckpoint, SignCheckpoint, SignedCheckpoint},
};

use crate::fixture::{Fixture, Service as _, refused};

fn leaf(number: u8) -> Hash {
    leaf_hash(&[number])
}

async fn sign(
    fixture: &Fixture,
    from_size: u64,
    size: u64,
    root: Hash,
    proof: &[Hash],
) -> Result<SignedCheckpoint, Error> {
    let request = SignCheckpoint {
        size,
        root,
        from_size,
        consistency: proof.to_vec(),
    };
    fixture
        .keys
        .service()
        .sign_checkpoint(&fixture.vault, request)
        .await
}

#[tokio::test]
async fn a_fork_a_shrunk_log_and_a_stale_proof_are_refused() {
    let fixture = Fixture::new().await;
    let two = node_hash(&leaf(1), &leaf(2));
    sign(&fixture, 0, 1, leaf(1), &[]).await.unwrap();
    sign(&fixture, 1, 2, two, &[leaf(2)]).await.unwrap();
    let inconsistent = Some(Refusal::CheckpointInconsistent);
    assert_eq!(
        refused(sign(&fixture, 2, 2, node_hash(&leaf(9), &leaf(2)), &[]).await),
        inconsistent,
        "a fork"
    );
    let three = node_hash(&node_hash(&leaf(9), &leaf(2)), &leaf(3));
    assert_eq!(
        refused(sign(&fixture, 2, 3, three, &[leaf(3)]).await),
        inconsistent,
        "a fork that grew"
    );
    assert_eq!(
        refused(sign(&fixture, 2, 1, leaf(1), &[]).await),
        inconsistent,
        "shrunk"
    );
    assert_eq!(
        refused(sign(&fixture, 1, 2, two, &[leaf(2)]).await),
        inconsistent,
        "stale"
    );
    assert_eq!(
        refused(sign(&fixture, 0, 3, three, &[]).await),
        inconsistent,
        "as if it were the first"
    );
    assert_eq!(
        fixture.keys.remembered(Role::Vault).await.unwrap(),
        Tree { size: 2, root: two }
    );
    assert!(
        sign(&fixture, 2, 3, node_hash(&two, &leaf(3)), &[leaf(3)])
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_restored_log_goes_on_only_from_where_the_operator_says_and_on_record() {
    let fixture = Fixture::new().await;
    let two = node_hash(&leaf(1), &leaf(2));
    sign(&fixture, 0, 1, leaf(1), &[]).await.unwrap();
    sign(&fixture, 1, 2, two, &[leaf(2)]).await.unwrap();
    let other = node_hash(&leaf(1), &leaf(9));
    assert!(sign(&fixture, 1, 2, other, &[leaf(9)]).await.is_err());
    let before = entries(&fixture).await;
    let accept = fixture.keys.accept_restore(Role::Vault, 1, leaf(1));
    accept.await.unwrap();
    assert_eq!(entries(&fixture).await, before + 1);
    assert!(sign(&fixture, 1, 2, other, &[leaf(9)]).await.is_ok());
    // And to a log that has no entry yet.
    let accept = fixture.keys.accept_restore(Role::Vault, 0, [0; 32]);
    accept.await.unwrap();
    assert!(sign(&fixture, 0, 1, leaf(5), &[]).await.is_ok());
}

/// Those of this role's own log, once all have their place.
async fn entries(fixture: &Fixture) -> u64 {
    fixture.keys.tick().await.unwrap();
    coffer_audit::Audit::head(&fixture.db)
        .await
        .unwrap()
        .tree
        .size
}

#[tokio::test]
async fn a_signature_is_over_the_callers_own_log() {
    let fixture = Fixture::new().await;
    let tree = Tree {
        size: 1,
        root: leaf(1),
    };
    let signed = sign(&fixture, 0, 1, leaf(1), &[]).await.unwrap();
    let key = checkpoint_key(&fixture.db).await.unwrap();
    assert_eq!(VerifyingKey::from_slice(&signed.public_key), Ok(key));
    assert!(
        key.verify(
            checkpoint_text("vault", &tree).as_bytes(),
            &signed.signature
        )
        .is_ok()
    );
    assert!(
        key.verify(checkpoint_text("api", &tree).as_bytes(), &signed.signature)
            .is_err()
    );
    let apis = fixture
        .keys
        .service()
        .checkpoint(&fixture.api, GetCheckpoint {})
        .await
        .unwrap();
    assert_eq!(apis.size, 0, "another role's log is another log");
}

#[tokio::test]
async fn its_own_log_is_signed_and_verifies() {
    let fixture = Fixture::new().await;
    fixture.keys.tick().await.unwrap();
    fixture.keys.tick().await.unwrap();
    let trust = Trust {
        role: "keys",
        public_key: Some(checkpoint_key(&fixture.db).await.unwrap()),
        remembered: Some(fixture.keys.remembered(Role::Keys).await.unwrap()),
        audit: None,
        now: coffer_net::Clock::system().now(),
    };
    let verdict = verify(&fixture.db, &trust).await.unwrap();
    assert_eq!(
        (verdict.fault, verdict.unsequenced, verdict.checkpoints),
        (None, 0, 1)
    );
    assert!(
        verdict.tree.size >= 4,
        "initialise, unseal, two certificates"
    );
}

#[tokio::test]
async fn stopping_gives_the_last_entries_their_place() {
    let fixture = Fixture::new().await;
    let tasks = coffer_net::Tasks::new();
    fixture.keys.run(&tasks);
    assert!(tasks.stop(std::time::Duration::from_secs(10)).await);
    let trust = Trust {
        role: "keys",
        public_key: None,
        remembered: None,
        audit: None,
        now: coffer_net::Clock::system().now(),
    };
    assert_eq!(verify(&fixture.db, &trust).await.unwrap().unsequenced, 0);
}
