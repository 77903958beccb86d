//! Two nodes of the role `api` that share their rates by a Redis server, by TLS and with a password: together they let in what
//! one of them would, and without it each what it would alone.

use std::{
    os::unix::fs::OpenOptionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use coffer_net::task;
use coffer_testkit::{Installation, Merchant, Redis, Server, eventually};
use serde_json::json;

use crate::{BINARY, nodes::Nodes};

/// Requests at the same time.
const AT_ONCE: usize = 16;
/// How soon the rates are shared when the server is there again.
const AGAIN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

struct Sharing {
    nodes: Nodes,
    redis: Redis,
}

impl Sharing {
    async fn start() -> Option<Self> {
        let installation = Installation::make(BINARY, Some(&Server::shared()?));
        let directory = installation.directory();
        let redis = Redis::start_tls(directory);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600);
        let file = file.open(directory.join("api/redis.password")).unwrap();
        std::io::Write::write_all(&mut &file, redis.password().as_bytes()).unwrap();
        let settings = vec![
            (
                "COFFER_REDIS_ADDRESS",
                format!("localhost:{}", redis.port()),
            ),
            ("COFFER_REDIS_USER", redis.user().to_owned()),
            ("COFFER_REDIS_CA_FILE", "development-ca.pem".to_owned()),
        ];
        let nodes = Nodes::up(installation, settings).await;
        let sharing = Self { nodes, redis };
        sharing.until_shared(true, PATIENCE).await;
        Some(sharing)
    }

    /// Waits until both nodes say that they share, or that they do not.
    async fn until_shared(&self, shared: bool, within: Duration) {
        let says = format!("coffer_rates_shared {}\n", u8::from(shared));
        let all = async || {
            let (coffer, second) = (&self.nodes.coffer, &self.nodes.second);
            let told = [coffer.metrics("api").await, second.metrics().await];
            told.iter().all(|told| told.contains(&says)).then_some(())
        };
        eventually(within, &says, all).await;
    }

    /// The merchant at both nodes, with a new key of which so many requests pass, and then one a minute.
    async fn shops(&self, burst: i64) -> [Merchant; 2] {
        let new = json!({"name": "limited", "permissions": "read_only", "rate": {"per_minute": 1, "burst": burst}});
        let made = self.nodes.shops[0].post("/v1/api_keys", &new).await;
        let secret = made.expect(201).json["secret"].as_str().unwrap().to_owned();
        self.nodes.shops.clone().map(|mut shop| {
            shop.secret_key.clone_from(&secret);
            shop
        })
    }
}

/// How many of so many requests passed, in turns at one node and the other; `answered` counts while they come.
async fn passed(shops: &[Merchant; 2], requests: usize, answered: &Arc<AtomicUsize>) -> usize {
    let left = Arc::new(AtomicUsize::new(requests));
    let clients: Vec<_> = shops
        .iter()
        .cycle()
        .take(AT_ONCE)
        .map(|shop| {
            let (shop, left, answered) = (shop.clone(), Arc::clone(&left), Arc::clone(answered));
            task::spawn("client", async move {
                let mut passed = 0;
                while left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok()
                {
                    let answer = shop.get("/v1/ping").await;
                    assert!(matches!(answer.status, 200 | 429), "{}", answer.text);
                    if answer.status == 429 {
                        assert_eq!(answer.json["limit"], "key");
                        assert!(answer.headers.contains_key("retry-after"));
                    }
                    assert!(answer.header("ratelimit").starts_with("\"key\";r="));
                    passed += usize::from(answer.status == 200);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                passed
            })
        })
        .collect();
    let mut passed = 0;
    for client in clients {
        passed += client.await.unwrap();
    }
    passed
}

#[tokio::test]
async fn of_three_hundred_requests_at_two_nodes_a_hundred_pass_that_one_would_let_in() {
    let Some(sharing) = Sharing::start().await else {
        return;
    };
    let shops = sharing.shops(100).await;
    let passed = passed(&shops, 300, &Arc::default()).await;
    assert!((100..=104).contains(&passed), "{passed}");
}

#[tokio::test]
async fn when_the_server_dies_nothing_fails_and_when_it_is_back_the_rates_are_shared() {
    let Some(mut sharing) = Sharing::start().await else {
        return;
    };
    let (shops, answered) = (sharing.shops(200).await, Arc::new(AtomicUsize::new(0)));
    let load = {
        let (shops, answered) = (shops.clone(), Arc::clone(&answered));
        task::spawn("load", async move { passed(&shops, 600, &answered).await })
    };
    let begun = async || (answered.load(Ordering::SeqCst) >= 100).then_some(());
    eventually(PATIENCE, "the load has begun", begun).await;
    sharing.redis.kill();
    let passed_without = load.await.unwrap();
    assert!((200..=400).contains(&passed_without), "{passed_without}");
    sharing.until_shared(false, PATIENCE).await;

    sharing.redis.start_again();
    sharing.until_shared(true, AGAIN).await;
    let shops = sharing.shops(100).await;
    let passed_with = passed(&shops, 300, &answered).await;
    assert!((100..=104).contains(&passed_with), "{passed_with}");
}
