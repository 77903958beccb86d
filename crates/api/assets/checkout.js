// The checkout page: brings the card fields, which are a frame of the vault's, and the payment together. It sees a token
// and never a card. What the payment's state is, the server alone decides: when in doubt, this page asks again.

"use strict";

const page = document.documentElement.dataset;
const element = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const [navigation] = performance.getEntriesByType("navigation");

/** How long one request to our own server may take; a provider has 20 s. */
const REQUEST_TIMEOUT_MS = 45_000;
/** How long the frame may be silent: its own deposit ends sooner, with a word about it. */
const FRAME_TIMEOUT_MS = 40_000;
/** How soon after the page has loaded the frame must have said anything at all. */
const SILENCE_MS = 10_000;
/** A ticket lives for 15 minutes. A form that nobody has touched gets a new one a little earlier. */
const REFRESH_MS = 14 * 60_000;
/** When a confirmation counts as late, and how long a receipt is shown before the payer is taken back. */
const LATE_MS = 20_000;
const RETURN_MS = 4_000;

const NOT_NOW = "The payment cannot be made at the moment. Nothing was charged. Please try again.";
const NO_FIELDS = "The card fields do not answer. Nothing was charged.";
const INTERRUPTED = "The connection was interrupted. We are finding out how your payment stands.";

/** Loads the page anew: the server shows what is true now. */
const startOver = () => window.location.replace(page.base);

/** Leaves for an address that the server gave, if it is one of the web. */
function leave(address) {
  const { protocol, href } = new URL(address, window.location.href);
  if (protocol === "https:" || protocol === window.location.protocol) window.location.assign(href);
  else startOver();
}

/** Asks our own server; null when there was no answer that can be read. */
async function request(path, options = {}) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), REQUEST_TIMEOUT_MS);
  try {
    const settings = { cache: "no-store", redirect: "error", signal: abort.signal, ...options };
    const answer = await fetch(page.base + path, settings);
    return { status: answer.status, content: await answer.json().catch(() => ({})) };
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/* ---- The form ---- */

const frame = element("fields");
const title = document.title;
/** What the frame has said, what is being done, and the token once there is one. */
const form = { listening: false, typed: false, busy: false, token: null, timer: 0 };

function tell(type, content = {}) {
  frame.contentWindow.postMessage({ coffer: 1, type, ...content }, element("payment").dataset.fieldsOrigin);
}

/** The button, however often it is pressed: one payment at a time. */
function pay() {
  if (form.busy) return;
  setBusy(true);
  if (form.token) {
    charge();
    return;
  }
  form.timer = setTimeout(() => stop(NO_FIELDS, { again: true }), FRAME_TIMEOUT_MS);
  if (form.listening) tell("tokenize");
}

/** Not `disabled`, which would take the focus from the button. */
function setBusy(busy) {
  form.busy = busy;
  clearTimeout(form.timer);
  element("pay").setAttribute("aria-disabled", String(busy));
  element("pay-label").textContent = busy ? "Paying…" : form.label;
  element("working").textContent = busy ? "Paying…" : "";
  document.title = busy ? `Paying… · ${title}` : title;
  if (busy) element("problem").textContent = "";
}

/** `again` offers what helps when these fields cannot be used any more. */
function stop(message, { again = false } = {}) {
  setBusy(false);
  element("problem").textContent = message;
  if (!again) return;
  const link = document.createElement("a");
  link.href = page.base;
  link.textContent = "Load this page again";
  element("problem").append(" ", link);
}

async function charge() {
  const answer = await request("/card", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: form.token }),
  });
  if (!answer) await findOut();
  else if (answer.status === 429 || answer.status === 503) stop(NOT_NOW);
  else if (answer.content.next) leave(answer.content.next);
  else startOver();
}

/** The connection was lost, and with it the answer: it may have been paid. Only the server knows. */
async function findOut() {
  element("problem").textContent = INTERRUPTED;
  for (let pause = 1_000; !(await request("/status")); pause = Math.min(pause * 1.5, 10_000)) await sleep(pause);
  startOver();
}

const EVENTS = {
  ready: () => {},
  change({ fields = {} }) {
    form.typed = Object.values(fields).some((state) => state !== "empty");
  },
  valid: () => {},
  submit: pay,
  token({ token }) {
    if (!form.busy || form.token) return;
    clearTimeout(form.timer);
    form.token = String(token.id);
    charge();
  },
  error({ code, message }) {
    // What is wrong with the card stands in the frame beside the field, where the cursor is now.
    if (/^(number|expiry|cvc|brand)_/.test(code)) stop("");
    else stop(String(message), { again: /^ticket_/.test(code) });
  },
};

function onMessage({ source, origin, data }) {
  if (source !== frame.contentWindow || origin !== element("payment").dataset.fieldsOrigin) return;
  if (!data || data.coffer !== 1 || !Object.hasOwn(EVENTS, data.type)) return;
  if (data.height > 0 && data.height < 2_000) frame.style.setProperty("height", `${Math.ceil(data.height)}px`);
  const first = !form.listening;
  form.listening = true;
  // The button was quicker than the frame.
  if (first && form.busy && !form.token) tell("tokenize");
  EVENTS[data.type](data);
}

function startForm() {
  form.label = element("pay-label").textContent;
  window.addEventListener("message", onMessage);
  window.addEventListener("load", onLoaded);
  // After a reload some browsers put back the frame's former address, whose ticket may be used up.
  if (navigation && navigation.type !== "navigate") frame.contentWindow.location.replace(frame.src);
  element("payment").addEventListener("submit", (event) => {
    event.preventDefault();
    pay();
  });
  document.querySelectorAll("[data-test-card]").forEach((button) =>
    button.addEventListener("click", () => tell("test_card", { name: button.dataset.testCard })),
  );
  element("pay").disabled = false;
  if (element("decline")) element("decline").focus();
  setTimeout(refreshUntouched, REFRESH_MS);
}

/** The frame may have spoken before this script came. It answers this with how things stand, or cannot be used. */
function onLoaded() {
  tell("disable", { disabled: false });
  setTimeout(() => form.listening || stop(NO_FIELDS, { again: true }), SILENCE_MS);
}

function refreshUntouched() {
  if (!form.typed && !form.busy) startOver();
}

/* ---- Waiting ---- */

const visible = () =>
  new Promise((done) => {
    if (!document.hidden) done();
    else document.addEventListener("visibilitychange", () => done(), { once: true });
  });

/** Asks in growing pauses, and not while nobody looks, until the payment is in another state than this page shows. */
async function follow(pause) {
  await sleep(pause);
  await visible();
  const answer = await request("/status");
  const moved = answer && answer.status === 200 && answer.content.status !== page.state;
  if (!moved) return follow(Math.min(pause * 1.5, 10_000));
  if (answer.content.next && page.state === "processing") return leave(answer.content.next);
  return startOver();
}

function startProcessing() {
  setTimeout(() => element("late").removeAttribute("hidden"), LATE_MS);
  follow(1_000);
}

/* ---- Taken back to the merchant ---- */

/** By itself, unless the payer wants to stay or has come back to this page on purpose. */
function startReturn() {
  const link = element("return");
  if (!link || (navigation && navigation.type === "back_forward")) return;
  const timer = setTimeout(() => link.click(), RETURN_MS);
  element("returning").hidden = false;
  element("stay").addEventListener("click", () => {
    clearTimeout(timer);
    link.focus();
    element("returning").hidden = true;
  });
}

/* ---- Begin ---- */

// A page from the browser's memory shows what was true once.
window.addEventListener("pageshow", (event) => event.persisted && window.location.reload());

const STATES = {
  form: startForm,
  processing: startProcessing,
  requires_action: () => follow(3_000),
  paid: startReturn,
};
if (Object.hasOwn(STATES, page.state)) STATES[page.state]();
