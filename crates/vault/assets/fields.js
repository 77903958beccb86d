// The card fields: what a payer types here goes to the vault, which served this page, and nowhere else.
//
// The page around the frame learns how tall the fields are, which brand was recognised, whether a field is complete,
// and in the end a token. No digit of the card ever leaves by a message. Nothing is stored, logged or put in an address.

"use strict";

/* ---- What a card is. The same table as crates/core/src/brand.rs; the vault has the last word. ---- */

/** Brand, first and last value of the leading digits, and the lengths issued there. Narrow ranges before wide ones. */
const RANGES = [
  ["visa", 4, 4, [13, 16, 19]],
  ["mastercard", 51, 55, [16]], ["mastercard", 2221, 2720, [16]],
  ["american_express", 34, 34, [15]], ["american_express", 37, 37, [15]],
  ["discover", 6011, 6011, [16, 17, 18, 19]], ["discover", 644, 649, [16, 17, 18, 19]],
  ["discover", 65, 65, [16, 17, 18, 19]],
  ["jcb", 3528, 3589, [16, 17, 18, 19]],
  ["diners", 300, 305, [14, 16, 17, 18, 19]], ["diners", 3095, 3095, [14, 16, 17, 18, 19]],
  ["diners", 36, 36, [14, 15, 16, 17, 18, 19]], ["diners", 38, 39, [14, 16, 17, 18, 19]],
  ["unionpay", 62, 62, [16, 17, 18, 19]], ["unionpay", 81, 81, [16, 17, 18, 19]],
  ["maestro", 50, 50, [12, 13, 14, 15, 16, 17, 18, 19]], ["maestro", 56, 58, [12, 13, 14, 15, 16, 17, 18, 19]],
  ["maestro", 6304, 6304, [12, 13, 14, 15, 16, 17, 18, 19]], ["maestro", 67, 67, [12, 13, 14, 15, 16, 17, 18, 19]],
];

/** `usual` is the length of most cards; where it `varies`, reaching it does not mean that the payer has finished. */
const BRANDS = {
  visa: { name: "Visa", usual: 16, cvc: 3 },
  mastercard: { name: "Mastercard", usual: 16, cvc: 3 },
  american_express: { name: "American Express", usual: 15, cvc: 4 },
  discover: { name: "Discover", usual: 16, cvc: 3 },
  jcb: { name: "JCB", usual: 16, cvc: 3 },
  diners: { name: "Diners Club", usual: 14, cvc: 3 },
  unionpay: { name: "UnionPay", usual: 16, varies: true, cvc: 3 },
  maestro: { name: "Maestro", usual: 16, varies: true, cvc: 3, cvcOptional: true },
};

const NUMBER_MIN = 12;
const NUMBER_MAX = 19;

/* ---- What can be wrong. `code` is the vault's word for it, `field` where it is said. ---- */

const FAULTS = {
  number_empty: { state: "empty", code: "number_incomplete", field: "number", message: "Enter the card number" },
  number_incomplete: { state: "incomplete", field: "number", message: "This card number is not complete" },
  number_invalid: { state: "invalid", field: "number", message: "Check this number: a digit is wrong" },
  brand_not_supported: { state: "invalid", field: "number", message: "This kind of card is not accepted" },
  expiry_empty: { state: "empty", code: "expiry_invalid", field: "expiry", message: "Enter month and year" },
  expiry_incomplete: { state: "incomplete", code: "expiry_invalid", field: "expiry", message: "This date is incomplete" },
  expiry_invalid: { state: "invalid", field: "expiry", message: "There is no such month" },
  expiry_past: { state: "invalid", field: "expiry", message: "This card has expired" },
  cvc_empty: { state: "empty", code: "cvc_invalid", field: "cvc", message: "Enter the security code" },
  cvc_incomplete: { state: "incomplete", code: "cvc_invalid", field: "cvc", message: "This code has # digits" },
  cvc_invalid: { state: "invalid", field: "cvc", message: "Check this code: # digits" },
};

const TOO_LONG_OPEN = "The card fields were open for too long. Nothing was charged. Enter the card once more.";
const OUR_FAULT = "Something went wrong on our side. Nothing was charged. Please try again.";
const NO_CONNECTION = "The connection was interrupted. Nothing was charged. Please try again.";

/** What is wrong with the request rather than with the card, and whether trying again may help. */
const PROBLEMS = {
  ticket_invalid: [TOO_LONG_OPEN, false],
  ticket_expired: [TOO_LONG_OPEN, false],
  ticket_used: [TOO_LONG_OPEN, false],
  ticket_tries_exceeded: ["Too many cards were tried here. Nothing was charged. Load the page again.", false],
  unavailable: ["Cards cannot be taken at the moment. Nothing was charged. Please try again.", true],
  timeout: ["This takes too long. Nothing was charged. Please try again.", true],
  request_timeout: [NO_CONNECTION, true],
  network: [NO_CONNECTION, true],
  internal_error: [OUR_FAULT, true],
};

/** Cards of the simulator, by what they do; see docs/testing.md. They work in test mode only. */
const TEST_CARDS = {
  approved: "4242424242424242", mastercard: "5555555555554444", american_express: "378282246310005",
  challenge: "4000000000003220", authentication_failed: "4000000000003246", declined: "4000000000000002",
  insufficient_funds: "4000000000009995", card_expired: "4000000000000069", incorrect_cvc: "4000000000000127",
  incorrect_number: "4000000000000259", lost_card: "4000000000009987", stolen_card: "4000000000009979",
  fraud_suspected: "4100000000000019", limit_exceeded: "4000000000006975", not_supported: "4000000000000341",
  processing_error: "4000000000000119",
};

const DEPOSIT_TIMEOUT_MS = 15_000;
const RETRY_AFTER_MAX_MS = 2_000;

/* ---- The page ---- */

const page = document.documentElement;
const { origin: ORIGIN, mode: MODE, ticket: TICKET } = page.dataset;
const element = (id) => document.getElementById(id);

/** What was shown last (`text`, `digits`) tells what an edit did; `verdict` is the vault's, `shown` what is displayed. */
function fieldNamed(name, format, ownFault) {
  const [input, error] = [element(name), element(`${name}-error`)];
  return { name, format, ownFault, input, error, text: "", digits: "", caret: 0, verdict: null, shown: null };
}
const number = fieldNamed("number", formatNumber, numberFault);
const expiry = fieldNamed("expiry", formatExpiry, expiryFault);
const cvc = fieldNamed("cvc", formatCvc, cvcFault);
const FIELDS = [number, expiry, cvc];

/** The field that holds the focus, whether a deposit runs, what it gave, and what was reported last. */
const state = { focused: null, busy: false, disabled: false, token: null, reported: "", valid: false };

/** Digits of a text; full-width ones, as East Asian keyboards write them, count too. */
const digitsOf = (text) => text.normalize("NFKC").replace(/\D/g, "");

/* ---- Card numbers ---- */

/** Whether a number that begins with `digits` can lie in a range; fewer digits than it names may still get there. */
function mayBegin(digits, [, first, last]) {
  const width = Math.min(digits.length, String(first).length);
  const cut = 10 ** (String(first).length - width);
  const leading = Number(digits.slice(0, width));
  return leading >= Math.floor(first / cut) && leading <= Math.floor(last / cut);
}

const candidates = (digits) => RANGES.filter((range) => digits && mayBegin(digits, range));

/** The brand, as soon as only one is possible. */
function brandWhileTyping(digits) {
  const brands = new Set(candidates(digits).map(([brand]) => brand));
  return brands.size === 1 ? [...brands][0] : null;
}

/** The brand that issues numbers with these leading digits at this length. */
function brandOf(digits) {
  const found = candidates(digits).find(([, , , lengths]) => lengths.includes(digits.length));
  return found ? found[0] : null;
}

const lengthMax = (digits) =>
  candidates(digits).reduce((most, [, , , lengths]) => Math.max(most, ...lengths), 0) || NUMBER_MAX;

/** ISO/IEC 7812-1 annex B. */
function luhn(digits) {
  const sum = [...digits].reverse().reduce((total, digit, place) => {
    const value = Number(digit) * (1 + (place % 2));
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
}

function numberFault() {
  const digits = digitsOf(number.input.value);
  if (!digits) return "number_empty";
  const brand = brandOf(digits);
  if (brand && luhn(digits)) return null;
  // Short of the usual length a wrong check digit means that more digits are coming, from there on that one is wrong.
  if (brand && digits.length >= BRANDS[brand].usual) return "number_invalid";
  if (digits.length < NUMBER_MIN || mayContinue(digits)) return "number_incomplete";
  return brand || !luhn(digits) ? "number_invalid" : "brand_not_supported";
}

const mayContinue = (digits) =>
  candidates(digits).some(([, , , lengths]) => lengths.some((length) => length > digits.length));

/** Groups as they are printed on the cards. */
function groupsOf(digits) {
  const brand = brandWhileTyping(digits);
  if (brand === "american_express") return [4, 6, 5];
  if (brand === "diners" && digits.length <= 14) return [4, 6, 4];
  return [4, 4, 4, 4, 3];
}

function formatNumber(text) {
  const all = digitsOf(text);
  const digits = all.slice(0, lengthMax(all));
  let start = 0;
  const groups = groupsOf(digits).map((length) => digits.slice(start, (start += length)));
  return groups.filter(Boolean).join(" ");
}

/* ---- Expiry: shown as MM / YY ---- */

/**
 * Month, year and whether something stands between them, however it was written: 4, 0430, 04/30, 4-2030, 2030-04.
 * A single digit is a whole month once the caret is beyond it.
 */
function expiryParts(text, caret) {
  const plain = text.normalize("NFKC");
  const yearFirst = plain.match(/^\D*(20\d\d)\D+(\d{1,2})\D*$/);
  if (yearFirst) return [yearFirst[2].padStart(2, "0"), yearFirst[1].slice(2), true];
  const parted = plain.match(/^\D*?(\d{0,2})\s*[/.\-\u2044](.*)$/);
  const [month, year] = parted ? [parted[1], digitsOf(parted[2])] : split(digitsOf(plain));
  const whole = /^[2-9]$/.test(month) || (month === "1" && parted && caret > plain.search(/[/.\-\u2044]/));
  return [whole ? `0${month}` : month, shortYear(year), Boolean(parted)];
}

/** Digits in a row. No month begins with 2 to 9 and none is over 12, so what follows is the year's. */
function split(digits) {
  if (/^[2-9]/.test(digits) || /^1[3-9]$/.test(digits)) return [`0${digits[0]}`, digits.slice(1)];
  return [digits.slice(0, 2), digits.slice(2)];
}

/** A year of four digits is let through until it is whole: 20 cannot be meant as a year any more. */
function shortYear(year) {
  if (!year.startsWith("20") || year.length === 2) return year.slice(0, 2);
  return year.length < 4 ? year : year.slice(2, 4);
}

function formatExpiry(text, { deleting = false, caret = text.length } = {}) {
  const [month, year, parted] = expiryParts(text, deleting ? 0 : caret);
  if (!month && !year) return "";
  return parted || year || (month.length === 2 && !deleting) ? `${month} / ${year}` : month;
}

/** The month and the year with four digits; null while one is missing. */
function expiryOf() {
  const [month, year] = expiryParts(expiry.input.value, Infinity);
  return month.length === 2 && year.length === 2 ? { month: Number(month), year: 2000 + Number(year) } : null;
}

function expiryFault() {
  if (!digitsOf(expiry.input.value)) return "expiry_empty";
  const [month] = expiryParts(expiry.input.value, Infinity);
  if (month.length === 2 && !(month >= 1 && month <= 12)) return "expiry_invalid";
  const date = expiryOf();
  if (!date) return "expiry_incomplete";
  // Over when its month has ended everywhere on earth: UTC−12 is the last place. Date.UTC counts months from 0.
  return Date.now() >= Date.UTC(date.year, date.month, 1, 12) ? "expiry_past" : null;
}

/* ---- Security code ---- */

const brandNow = () => brandOf(digitsOf(number.input.value)) || brandWhileTyping(digitsOf(number.input.value));
const cvcLength = () => (BRANDS[brandNow()] || { cvc: 3 }).cvc;

/** Four digits are let through while the brand is not known. */
function formatCvc(text) {
  return digitsOf(text).slice(0, brandNow() ? cvcLength() : 4);
}

function cvcFault() {
  const { length } = cvc.input.value;
  const brand = BRANDS[brandNow()];
  if (length === 0) return brand && brand.cvcOptional ? null : "cvc_empty";
  if (length < cvcLength()) return "cvc_incomplete";
  return brand && length > brand.cvc ? "cvc_invalid" : null;
}

/* ---- Typing ---- */

/** Formats what was typed and keeps the caret behind the same digit. */
function onInput(field, event) {
  if (event.isComposing) return;
  const { input } = field;
  const deleting = /^delete/.test(event.inputType || "");
  const text = deleting ? eraseThroughSeparator(field, event) : input.value;
  const caret = deleting ? field.caret : input.selectionStart;
  write(field, field.format(text, { deleting, caret }), text, caret);
  field.verdict = null;
  if (field === number) showBrand();
  FIELDS.forEach(mend);
  if (!deleting) advance(field, event);
  report();
}

/** A separator is not the payer's: erasing it erases the digit beyond it. */
function eraseThroughSeparator(field, event) {
  const { value, selectionStart } = field.input;
  field.caret = selectionStart;
  if (digitsOf(value) !== field.digits || value === field.text) return value;
  const forward = event.inputType === "deleteContentForward";
  const before = value.slice(0, selectionStart);
  const after = value.slice(selectionStart);
  if (forward) return before + after.replace(/\d/, "");
  const kept = before.replace(/\d\D*$/, "");
  field.caret = kept.length;
  return kept + after;
}

function write(field, formatted, text, caret) {
  const { input } = field;
  const atEnd = caret >= text.length;
  // A month's 0 that we put there stands before the caret, too.
  const added = Math.max(0, digitsOf(formatted).length - digitsOf(text).length);
  // Setting an equal value would throw away what the browser can undo.
  if (input.value !== formatted) {
    input.value = formatted;
    const place = atEnd ? formatted.length : placeBehind(formatted, digitsOf(text.slice(0, caret)).length + added);
    if (document.activeElement === input) input.setSelectionRange(place, place);
  }
  field.text = formatted;
  field.digits = digitsOf(formatted);
}

/** Puts in what was not typed here. */
function set(field, text) {
  write(field, field.format(text), text, Infinity);
  field.verdict = null;
  if (field === number) showBrand();
}

function placeBehind(text, count) {
  let place = 0;
  for (let left = count; left > 0 && place < text.length; place += 1) {
    if (/\d/.test(text[place])) left -= 1;
  }
  return place;
}

/** Moves on when a field was completed by typing or pasting at its end; what the browser fills in moves nothing. */
function advance(field, event) {
  const { input } = field;
  const typed = /^insert/.test(event.inputType || "") && event.inputType !== "insertReplacementText";
  const atEnd = input.selectionStart === input.value.length;
  if (!typed || !atEnd || document.activeElement !== input || !isFinished(field)) return;
  const next = FIELDS.slice(FIELDS.indexOf(field) + 1).find((other) => fault(other));
  if (next) next.input.focus();
}

function isFinished(field) {
  if (fault(field)) return false;
  if (field !== number) return true;
  const digits = digitsOf(number.input.value);
  const { usual, varies } = BRANDS[brandOf(digits)];
  return (digits.length === usual && !varies) || digits.length === lengthMax(digits);
}

function onKeydown(field, event) {
  const before = FIELDS[FIELDS.indexOf(field) - 1];
  if (event.key === "Backspace" && !field.input.value && before) {
    event.preventDefault();
    before.input.focus();
    before.input.setSelectionRange(before.input.value.length, before.input.value.length);
  }
  if (event.key !== "Enter") return;
  event.preventDefault();
  onEnter(field);
}

/** Telephones write "next" on this key: from a complete field it leads to the next empty one, otherwise it submits. */
function onEnter(field) {
  const next = FIELDS[FIELDS.indexOf(field) + 1];
  if (next && !fault(field) && fault(next) && !next.input.value) next.input.focus();
  else post("submit");
}

/** An empty field that is left is no mistake yet. */
function onBlur(field) {
  if (field === expiry && field.input.value) set(field, field.input.value);
  const wrong = fault(field);
  if (wrong && FAULTS[wrong].state !== "empty") show(field, wrong);
  report({ focused: null });
}

/* ---- Showing ---- */

/** What is wrong with a field: the vault's verdict on exactly this value, or our own. */
const fault = (field) => field.verdict || field.ownFault();

function show(field, wrong) {
  field.shown = wrong;
  const text = wrong ? FAULTS[wrong].message.replace("#", String(cvcLength())) : "";
  if (field.error.textContent !== text) field.error.textContent = text;
  field.input.setAttribute("aria-invalid", String(Boolean(wrong)));
}

/** A message goes as soon as it is not true any more. */
function mend(field) {
  if (field.shown && field.shown !== fault(field)) show(field, null);
}

function showBrand() {
  const brand = brandNow();
  const amex = brand === "american_express";
  element("brand-mark").setAttribute("href", `#mark-${brand || "unknown"}`);
  element("cvc-mark").setAttribute("href", amex ? "#mark-cvc-front" : "#mark-cvc-back");
  setText("brand-name", brand ? BRANDS[brand].name : "");
  setText("cvc-hint", amex ? "4 digits on the front of the card" : "3 digits on the back of the card");
  cvc.input.placeholder = amex ? "1234" : "123";
  cvc.input.required = brand !== "maestro";
}

function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

function setUsable(change) {
  Object.assign(state, change);
  const disabled = state.disabled || Boolean(state.token);
  for (const { input } of FIELDS) {
    input.disabled = disabled;
    // Not disabled while a deposit runs: the focus would be lost.
    input.readOnly = state.busy;
  }
  element("card").setAttribute("aria-busy", String(state.busy));
}

/* ---- Speaking with the page around ---- */

function post(type, content = {}) {
  window.parent.postMessage({ coffer: 1, type, ...content }, ORIGIN);
}

const height = () => Math.ceil(document.querySelector("main").getBoundingClientRect().height);

function situation() {
  const states = FIELDS.map((field) => [field.name, fault(field) ? FAULTS[fault(field)].state : "complete"]);
  const deposited = Boolean(state.token);
  return {
    height: height(),
    brand: deposited ? state.token.card.brand : brandNow(),
    complete: deposited || states.every(([, each]) => each === "complete"),
    fields: Object.fromEntries(deposited ? states.map(([name]) => [name, "complete"]) : states),
    focused: state.focused,
  };
}

/** Tells what changed, and nothing twice. */
function report({ always = false, focused = state.focused } = {}) {
  state.focused = focused;
  const now = situation();
  const text = JSON.stringify(now);
  if (text !== state.reported || always) post("change", now);
  state.reported = text;
  if (now.complete !== state.valid) post("valid", { valid: now.complete });
  state.valid = now.complete;
}

const COMMANDS = {
  tokenize,
  focus({ field }) {
    const wanted = FIELDS.find(({ name }) => name === field) || FIELDS.find((each) => fault(each)) || number;
    wanted.input.focus();
  },
  test_card({ name }) {
    if (MODE === "test" && Object.hasOwn(TEST_CARDS, name) && !state.busy && !state.token) fill(TEST_CARDS[name]);
  },
  /** Always answered with a `change`, so that a page whose script came late learns how things stand. */
  disable({ disabled }) {
    setUsable({ disabled: disabled === true });
    report({ always: true });
  },
};

function onMessage({ source, origin, data }) {
  if (source !== window.parent || origin !== ORIGIN || !data || data.coffer !== 1) return;
  if (Object.hasOwn(COMMANDS, data.type)) COMMANDS[data.type](data);
}

function fill(digits) {
  const values = [digits, `12/${(new Date().getFullYear() + 3) % 100}`, "1234"];
  FIELDS.forEach((field, index) => set(field, values[index]));
  FIELDS.forEach((field) => show(field, null));
  report();
}

/* ---- The deposit ---- */

async function tokenize() {
  if (state.busy) return;
  if (state.token) return post("token", { token: state.token });
  const wrong = FIELDS.filter((field) => fault(field));
  if (wrong.length) return refuse(wrong);
  setUsable({ busy: true });
  const answer = await deposit();
  setUsable({ busy: false });
  if (answer.token) accept(answer.token);
  else fail(answer);
}

/** Says what is wrong with every field, and takes the payer to the first. */
function refuse(wrong) {
  wrong.forEach((field) => show(field, fault(field)));
  wrong[0].input.focus();
  report();
  const code = fault(wrong[0]);
  const { code: vaultCode = code } = FAULTS[code];
  post("error", { code: vaultCode, message: wrong[0].error.textContent, retry: false });
}

/** Sends the card; once more when it is safe and may help: the ticket gives the same card the same token. */
async function deposit() {
  const date = expiryOf();
  const card = { number: digitsOf(number.input.value), exp_month: date.month, exp_year: date.year };
  if (cvc.input.value) card.cvc = cvc.input.value;
  const body = JSON.stringify(card);
  const first = await send(body);
  if (first.token || first.repeatAfterMs === undefined) return first;
  await new Promise((done) => setTimeout(done, first.repeatAfterMs));
  return send(body);
}

async function send(body) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), DEPOSIT_TIMEOUT_MS);
  try {
    // The mode must stay "cors", the default: with "same-origin" and no referrer the browser would send `Origin: null`.
    const answer = await fetch("/v1/tokens", {
      method: "POST",
      headers: { "content-type": "application/json", "coffer-intake": TICKET },
      body,
      credentials: "omit", cache: "no-store", redirect: "error",
      signal: abort.signal,
    });
    return await read(answer);
  } catch {
    return abort.signal.aborted ? { code: "timeout" } : { code: "network", repeatAfterMs: 500 };
  } finally {
    clearTimeout(timer);
  }
}

/** The token, or the code of what went wrong. */
async function read(answer) {
  const content = await answer.json();
  if (answer.ok && content.id && content.card) return { token: content };
  const seconds = Number(answer.headers.get("retry-after")) || 1;
  const repeatAfterMs = answer.status === 503 ? Math.min(seconds * 1000, RETRY_AFTER_MAX_MS) : undefined;
  return { code: String(content.code), repeatAfterMs };
}

function accept({ id, mode, card, expires }) {
  const { brand, last4, exp_month, exp_year } = card;
  if (document.activeElement) document.activeElement.blur();
  clear();
  number.input.placeholder = `•••• •••• •••• ${last4}`;
  expiry.input.placeholder = `${String(exp_month).padStart(2, "0")} / ${String(exp_year).slice(-2)}`;
  cvc.input.placeholder = "•••";
  FIELDS.forEach(({ input }) => input.classList.add("done"));
  setUsable({ token: { id, mode, card: { brand, last4, exp_month, exp_year }, expires } });
  report();
  post("token", { token: state.token });
}

function fail({ code }) {
  if (Object.hasOwn(FAULTS, code)) {
    const wrong = FIELDS.find(({ name }) => name === FAULTS[code].field);
    wrong.verdict = code;
    return refuse([wrong]);
  }
  const [message, retry] = Object.hasOwn(PROBLEMS, code) ? PROBLEMS[code] : [OUR_FAULT, false];
  report();
  post("error", { code, message, retry });
}

/** Empties the inputs, also when the page is left: browsers put what was typed back after a reload. */
function clear() {
  for (const field of FIELDS) {
    field.input.value = "";
    field.text = "";
    field.digits = "";
  }
}

/* ---- A merchant's choice of style: known names, strict values, all else is ignored. ---- */

function word(name, words) {
  return (value) => words.includes(value) && page.setAttribute(`data-${name}`, value);
}
function colour(property) {
  return (value) => /^#(?:[0-9a-f]{3}|[0-9a-f]{6})$/i.test(value) && page.style.setProperty(property, value);
}
function pixels(property, least, most) {
  const allowed = (value) => Number.isInteger(value) && value >= least && value <= most;
  return (value) => allowed(value) && page.style.setProperty(property, `${value}px`);
}

const STYLE = {
  scheme: word("scheme", ["light", "dark", "auto"]),
  spacing: word("spacing", ["compact", "normal"]),
  colour_text: colour("--text"),
  colour_background: colour("--background"),
  colour_border: colour("--border"),
  colour_focus: colour("--focus"),
  colour_error: colour("--error"),
  radius: pixels("--radius", 0, 24),
  font_size: pixels("--font-size", 14, 20),
};

function applyStyle() {
  const text = new URLSearchParams(window.location.search).get("style");
  if (!text || !/^[\w-]{1,1024}$/.test(text)) return;
  try {
    const chosen = JSON.parse(atob(text.replace(/-/g, "+").replace(/_/g, "/")));
    for (const [name, value] of Object.entries(chosen)) {
      if (Object.hasOwn(STYLE, name)) STYLE[name](value);
    }
  } catch {
    // Not what coffer.js writes: the fields look as they always do.
  }
}

/* ---- Begin ---- */

function begin() {
  delete page.dataset.ticket;
  applyStyle();
  for (const field of FIELDS) {
    field.input.addEventListener("input", (event) => onInput(field, event));
    field.input.addEventListener("compositionend", (event) => onInput(field, event));
    field.input.addEventListener("keydown", (event) => onKeydown(field, event));
    field.input.addEventListener("focus", () => report({ focused: field.name }));
    field.input.addEventListener("blur", () => onBlur(field));
    // Typed or filled in before this script came.
    set(field, field.input.value);
  }
  element("card").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("message", onMessage);
  window.addEventListener("pagehide", clear);
  new ResizeObserver(() => report()).observe(document.querySelector("main"));
  post("ready", { height: height() });
}

begin();
