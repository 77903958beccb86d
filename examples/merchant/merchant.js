// A shop's own page with Coffer's card fields. The shop's script gets a token; the card goes to the vault.

"use strict";

const setting = (name) => document.querySelector(`meta[name="coffer-${name}"]`).content;
const order = document.getElementById("order");
const button = document.getElementById("pay");
const result = document.getElementById("result");

function say(text, { bad = false, code = "" } = {}) {
  result.className = bad ? "bad" : "";
  result.textContent = text;
  if (!code) return;
  const block = document.createElement("pre");
  block.textContent = code;
  result.append(block);
}

/** Gives the token to the shop's server, which creates the payment with its secret key; README.md shows how. */
async function charge(token) {
  const answer = await fetch("/pay", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: token.id }),
  });
  if ([404, 405, 501].includes(answer.status)) return { status: "no_server" };
  if (!answer.ok) throw new Error("Something went wrong on our side. Please ask us before you try again.");
  return answer.json();
}

/** What a payment's status means to the one who paid. A decline needs another card, so the fields start afresh. */
async function conclude(payment, token, card) {
  if (payment.status === "captured" || payment.status === "authorized") {
    say("Thank you! Your cup is on its way.");
  } else if (payment.status === "requires_action") {
    window.location.assign(payment.next_action.url);
  } else if (payment.status === "processing") {
    say("Your payment is being confirmed. We will write to you.");
  } else if (payment.status === "no_server") {
    const body = JSON.stringify({ amount: 1999, currency: "EUR", token: token.id });
    say("This page has no shop's server behind it. Its request to Coffer would be:", { code: `api '${body}' "$COFFER_URL/v1/payments"` });
  } else {
    await card.mount("#card");
    say("The card was declined. Nothing was charged. Please try another card.", { bad: true });
  }
}

/** One order at a time, however often the button is pressed. */
async function pay(card) {
  if (button.disabled) return;
  button.disabled = true;
  say("Paying…");
  try {
    const token = await card.tokenize();
    await conclude(await charge(token), token, card);
  } catch (error) {
    say(error.message, { bad: true });
  }
  button.disabled = false;
}

async function begin() {
  try {
    const coffer = Coffer({ key: setting("key"), api: setting("api") });
    const card = coffer.card({ style: { colour_focus: "#b5683f", radius: 8 } });
    order.addEventListener("submit", (event) => {
      event.preventDefault();
      pay(card);
    });
    card.on("submit", () => pay(card));
    await card.mount("#card");
  } catch (error) {
    say(error.message, { bad: true });
  }
}

begin();
