//! Delivers events to webhook endpoints: at least once, each endpoint in a queue of its own, so that a slow or dead one
//! delays no other. Jobs are rows, so a crash loses none.

use std::{collections::HashSet, sync::Arc, sync::Mutex, time::Duration};

use coffer_core::{
    Timestamp,
    event::{Event, EventType},
    id::WebhookEndpointId,
    limits::WEBHOOK_BODY_MAX,
};
use coffer_db::{
    Transaction,
    jobs::{self, Claimed},
    params,
};
use coffer_net::{
    Tasks,
    outbound::{HeaderMap, HeaderName, HeaderValue, Method, OutboundLimits, OutboundRequest},
    task,
};

use crate::{
    Engine, Error, WebhookEndpointState,
    commit::By,
    events::Happened,
    rows::key_of,
    store::webhooks as sql,
    webhooks::{StoredEndpoint, queue_of},
};

/// How often due queues are looked for.
const POLL: Duration = Duration::from_millis(100);
/// How long they are left alone when the store could not say.
const POLL_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Queues begun at a time.
const QUEUES_MAX: i64 = 64;
/// Queues worked on at a time. Slow endpoints with a backlog stay due, so they count apart from those that are begun.
const RUNNING_MAX: usize = 256;
/// Deliveries to one endpoint at a time.
const PER_ENDPOINT_MAX: u32 = 8;
/// How long a delivery may take, and how much of its answer is read.
const LIMITS: OutboundLimits = OutboundLimits {
    timeout: Duration::from_secs(15),
    body_max: 4 * 1024,
};
/// How long a claimed delivery is this worker's.
const LEASE_MS: i64 = 60_000;
/// Pauses before the second and each later try: the schedule of the Standard Webhooks specification.
const RETRY_AFTER_S: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// An endpoint that failed for so long gets nothing more.
const FAILING_MAX_MS: i64 = 5 * 24 * 60 * 60 * 1000;
/// The longest pause that a receiver can ask for.
const RETRY_AFTER_MAX_S: i64 = 24 * 60 * 60;

/// How one delivery went.
enum Told {
    Yes,
    /// Not now; the receiver may have asked for a pause.
    NotNow {
        pause_s: Option<i64>,
    },
    /// 410: never again.
    Never,
}

impl Engine {
    /// Delivers until the tasks are stopped; what is under way then is finished.
    pub(crate) fn run_deliveries(&self, tasks: &Tasks) {
        let (engine, stopping) = (self.clone(), tasks.stopping());
        let tracker = tasks.clone();
        tasks.spawn("deliveries", async move {
            let running = Arc::new(Mutex::new(HashSet::new()));
            tokio::pin!(stopping);
            loop {
                let pause = match engine.start_due_queues(&running, &tracker).await {
                    Ok(()) => POLL,
                    Err(error) => {
                        tracing::warn!(%error, "webhook deliveries wait");
                        POLL_AFTER_FAILURE
                    }
                };
                tokio::select! {
                    () = &mut stopping => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    async fn start_due_queues(
        &self,
        running: &Arc<Mutex<HashSet<String>>>,
        tasks: &Tasks,
    ) -> Result<(), Error> {
        let now = self.now().as_millis();
        let busy = coffer_net::lock(running).len();
        // Those that run may be the first in the list; behind them are as many as may be begun.
        let most = QUEUES_MAX.saturating_add(i64::try_from(busy).unwrap_or(i64::MAX));
        for row in self.db().read(&sql::QUEUES_DUE, params![now, most]).await? {
            let queue = row.text("queue")?.to_owned();
            if !begin(running, &queue) {
                continue;
            }
            let (engine, running) = (self.clone(), Arc::clone(running));
            tasks.spawn("webhook queue", async move {
                if let Err(error) = engine.deliver_queue(&queue).await {
                    tracing::warn!(%error, webhook.queue = queue, "a webhook queue waits");
                }
                coffer_net::lock(&running).remove(&queue);
            });
        }
        Ok(())
    }

    /// Delivers what is due to one endpoint.
    async fn deliver_queue(&self, queue: &str) -> Result<(), Error> {
        let claimed = jobs::claim(
            self.db(),
            queue,
            self.now().as_millis(),
            LEASE_MS,
            PER_ENDPOINT_MAX,
        )
        .await?;
        let deliveries: Vec<_> = claimed
            .into_iter()
            .map(|job| {
                let engine = self.clone();
                task::spawn("delivery", async move { engine.deliver(job).await })
            })
            .collect();
        for delivery in deliveries {
            delivery.await.unwrap_or(Err(Error::Defect))?;
        }
        Ok(())
    }

    async fn deliver(&self, job: Claimed) -> Result<(), Error> {
        let Some((stored, event)) = self.due(job.job()).await? else {
            return self.finish(job.done()).await;
        };
        match self.tell_receiver(&stored, &event).await? {
            Told::Yes => {
                let recovered = if stored.failing_since.is_some() {
                    failing(stored.endpoint.id, None)
                } else {
                    Transaction::new()
                };
                self.finish(recovered.append(job.done())).await
            }
            Told::Never => self.disable(&stored, job.done()).await,
            Told::NotNow { pause_s } => self.try_later(&stored, job, pause_s).await,
        }
    }

    /// Whom a job is to tell of what; `None` when the endpoint or the event is gone, or the endpoint is not told any more.
    async fn due(&self, job: &jobs::Job) -> Result<Option<(StoredEndpoint, Event)>, Error> {
        let id = job.queue.strip_prefix("webhook:").unwrap_or_default();
        let found = self.db().read_optional(&sql::FIND_BY_ID, params![id]);
        let Some(row) = found.await? else {
            return Ok(None);
        };
        let stored = self.read_endpoint(&row)?;
        if stored.endpoint.state == WebhookEndpointState::Disabled {
            return Ok(None);
        }
        let event = std::str::from_utf8(&job.payload)
            .unwrap_or_default()
            .parse();
        let Ok(event) = event else { return Ok(None) };
        let event = self.event_in(stored.endpoint.place, event).await?;
        Ok(event.map(|event| (stored, event)))
    }

    async fn tell_receiver(&self, stored: &StoredEndpoint, event: &Event) -> Result<Told, Error> {
        let request = self.signed(stored, event)?;
        let Ok(response) = self.0.webhooks.send(request, LIMITS).await else {
            return Ok(Told::NotNow { pause_s: None });
        };
        Ok(match response.status.as_u16() {
            200..=299 => Told::Yes,
            410 => Told::Never,
            429 | 503 => {
                let asked = response
                    .headers
                    .get("retry-after")
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                Told::NotNow { pause_s: asked }
            }
            _ => Told::NotNow { pause_s: None },
        })
    }

    /// The message, with the headers of the Standard Webhooks specification.
    fn signed(&self, stored: &StoredEndpoint, event: &Event) -> Result<OutboundRequest, Error> {
        let (now, id) = (self.now(), event.id.to_string());
        let body = (self.0.render.event)(event);
        if body.len() > WEBHOOK_BODY_MAX {
            tracing::error!(
                event.id = id,
                "a webhook would be too large and is not sent"
            );
            return Err(Error::Defect);
        }
        let mut signatures = stored.keys.sign(&id, now, &body)?;
        if let Some(previous) = &stored.previous {
            signatures = format!("{signatures} {}", previous.sign(&id, now, &body)?);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("user-agent", "Coffer-Webhooks"),
            ("webhook-id", &id),
            ("webhook-timestamp", &now.as_seconds().to_string()),
            ("webhook-signature", &signatures),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).map_err(|_| Error::Defect)?,
            );
        }
        let url = stored.endpoint.url.clone();
        Ok(OutboundRequest {
            method: Method::POST,
            plain_http: url.starts_with("http://"),
            url,
            headers,
            body: body.into(),
        })
    }

    async fn try_later(
        &self,
        stored: &StoredEndpoint,
        job: Claimed,
        pause_s: Option<i64>,
    ) -> Result<(), Error> {
        let now = self.now();
        let since = stored.failing_since.unwrap_or(now);
        let place = usize::try_from(job.job().tries).unwrap_or(usize::MAX);
        let Some(&scheduled) = RETRY_AFTER_S.get(place) else {
            if now.since(since) > FAILING_MAX_MS {
                return self.disable(stored, job.done()).await;
            }
            return self.finish(job.done()).await;
        };
        let pause_ms = jittered(scheduled.saturating_mul(1000));
        let asked_ms = pause_s
            .unwrap_or(0)
            .clamp(0, RETRY_AFTER_MAX_S)
            .saturating_mul(1000);
        let steps = job.again(now.plus_millis(pause_ms.max(asked_ms)).as_millis());
        let first = stored.failing_since.is_none();
        self.finish(if first {
            failing(stored.endpoint.id, Some(now)).append(steps)
        } else {
            steps
        })
        .await
    }

    /// Turns the endpoint off and drops what was on its way, unless someone else has changed it meanwhile: other deliveries
    /// to it may end the same way at the same time. Like every transaction with both, it locks the endpoint before its jobs.
    async fn disable(&self, stored: &StoredEndpoint, done: Transaction) -> Result<(), Error> {
        let endpoint = &stored.endpoint;
        let id = endpoint.id.to_string();
        let [account, mode] = key_of(endpoint.place);
        let now = self.now().as_millis();
        let row = params![account, mode, id.as_str(), endpoint.version, now];
        let version = endpoint.version.saturating_add(1);
        let happened = [Happened::to(
            &id,
            version,
            EventType::WebhookEndpointDisabled,
        )];
        let steps = Transaction::new()
            .one(&sql::DISABLE, row)
            .append(done)
            .any(&sql::QUEUE_DROP, params![queue_of(endpoint.id)])
            .append(self.tell(endpoint.place, &happened));
        let action = "webhook_endpoint.disable";
        match self
            .commit(By::System, endpoint.place, action, &id, steps)
            .await
        {
            Ok(_) => {
                tracing::warn!(webhook.endpoint = id, "a webhook endpoint was disabled");
                Ok(())
            }
            // What was not disabled is delivered again when its lease runs out.
            Err(coffer_db::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Commits how a delivery ended. When its lease went to another worker, that one decides.
    async fn finish(&self, steps: Transaction) -> Result<(), Error> {
        match self.db().transact(steps).await {
            Ok(_) | Err(coffer_db::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn failing(id: WebhookEndpointId, since: Option<Timestamp>) -> Transaction {
    Transaction::new().any(
        &sql::FAILING,
        params![id.to_string(), since.map(Timestamp::as_millis)],
    )
}

/// The pause ± 10 %, so that a receiver that comes back is not told everything at one instant.
fn jittered(pause_ms: i64) -> i64 {
    let [random] = coffer_crypto::random::<1>().unwrap_or([128]);
    let thousandths = 900_i64.saturating_add(i64::from(random).saturating_mul(200) / 255);
    pause_ms.saturating_mul(thousandths) / 1000
}

/// Whether the queue is this call's to work on.
fn begin(running: &Mutex<HashSet<String>>, queue: &str) -> bool {
    let mut running = coffer_net::lock(running);
    running.len() < RUNNING_MAX && running.insert(queue.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_vary_by_a_tenth_and_no_more() {
        for _ in 0..1_000 {
            assert!((900..=1_100).contains(&jittered(1_000)));
        }
    }
}
