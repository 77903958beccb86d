// A payer pays on the checkout page.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CARDS, EXPIRY, cardFields, merchant, openBrowser, payWith, picture, seesHeading, stage, typeCard,
} from "./stage.mjs";

/** A browser at the page of a new payment. */
async function at(test, more, options) {
  const browser = await openBrowser(options);
  test.after(() => browser.close());
  const payment = await merchant.order(more);
  await browser.page.goto(payment.checkout_url);
  return { ...browser, payment };
}

const standing = async (payment) => (await merchant.payment(payment.id)).status;

test("a payer pays by keyboard alone, and goes back with the payment's id and nothing else", async (t) => {
  const back = "https://shop.test/done?order=1";
  const { page, watch, payment, context } = await at(t, { return_url: back, description: "Two chairs" });
  const returned = new Promise((done) => context.route("https://shop.test/**", (route) => {
    done(route.request());
    return route.fulfill({ body: "the shop" });
  }));
  await page.getByText("19.99").first().waitFor();
  await picture(page, "form");

  await cardFields(page).getByLabel("Card number").focus();
  await page.keyboard.type(CARDS.approved);
  await page.keyboard.type(EXPIRY);
  await page.keyboard.type("123");
  await picture(page, "filled");
  await page.keyboard.press("Enter");
  await seesHeading(page, "Payment received");
  await picture(page, "paid");
  assert.equal(await standing(payment), "captured");

  watch.assertNeverInAddress(CARDS.approved);
  watch.assertQuiet();
  const request = await returned;
  assert.equal(request.url(), `${back}&payment=${payment.id}`);
  assert.equal(request.headers().referer, undefined);
});

test("a declined payer learns why and pays with another card", async (t) => {
  const { page, watch, payment } = await at(t);
  await payWith(page, CARDS.insufficientFunds);
  await page.getByText("There is not enough money on it.").waitFor();
  await picture(page, "declined");
  assert.equal(await standing(payment), "requires_card");
  await payWith(page, CARDS.amex, { cvc: "1234" });
  await seesHeading(page, "Payment received");
  const paid = await merchant.payment(payment.id);
  assert.deepEqual([paid.status, paid.card.brand, paid.card.last4], ["captured", "american_express", "0005"]);
  watch.assertQuiet();
});

test("after five declines the payment is closed", async (t) => {
  const { page, payment } = await at(t);
  for (let left = 4; left >= 0; left -= 1) {
    await payWith(page, CARDS.insufficientFunds);
    if (left > 1) await page.getByText(`You can try ${left} more times.`).waitFor();
    if (left === 1) await page.getByText("You can try once more.").waitFor();
  }
  await seesHeading(page, "The payment was not completed");
  await picture(page, "closed");
  assert.equal(await standing(payment), "declined");
});

for (const [choice, heading, status] of [
  ["Approve", "Payment received", "captured"],
  ["Reject", "Pay by card", "requires_card"],
]) {
  test(`a payer whose bank asks and who chooses to ${choice.toLowerCase()} comes back to the page`, async (t) => {
    const { page, watch, payment } = await at(t);
    await payWith(page, CARDS.challenge);
    await page.getByRole("button", { name: choice }).waitFor();
    assert.equal(await standing(payment), "requires_action");
    await page.getByRole("button", { name: choice }).click();
    await seesHeading(page, heading);
    assert.equal(await standing(payment), status);
    watch.assertQuiet();
  });
}

test("a double click, a reload, the back button and a second tab charge once", async (t) => {
  const { page, context, payment } = await at(t);
  const other = await context.newPage();
  await other.goto(payment.checkout_url);
  await typeCard(other, CARDS.approved);
  await typeCard(page, CARDS.approved);
  const pay = page.getByRole("button", { name: /^Pay/ });
  await Promise.all([pay.dblclick(), other.getByRole("button", { name: /^Pay/ }).click()]);
  await seesHeading(page, "Payment received");
  await seesHeading(other, "Payment received");
  await page.reload();
  await seesHeading(page, "Payment received");
  await page.goBack();
  await page.goForward();
  await seesHeading(page, "Payment received");
  const paid = await merchant.payment(payment.id);
  assert.deepEqual([paid.status, paid.amount_captured], ["captured", 1999]);
});

test("a page that was left open shows what happened meanwhile instead of paying", async (t) => {
  const { page, payment } = await at(t);
  await typeCard(page, CARDS.approved);
  await merchant.cancel(payment.id);
  await page.getByRole("button", { name: /^Pay/ }).click();
  await seesHeading(page, "This payment was canceled");
  await picture(page, "canceled");
});

test("mistakes are named beside their field while typing, and nothing is sent", async (t) => {
  const { page, watch, payment } = await at(t);
  const fields = cardFields(page);
  await fields.getByLabel("Card number").click();
  await page.keyboard.type("4242424242424241");
  await page.keyboard.press("Tab");
  await fields.getByText("Check this number: a digit is wrong").waitFor();
  await picture(page, "mistake");
  await page.getByRole("button", { name: /^Pay/ }).click();
  await fields.getByText("Enter month and year").waitFor();
  await fields.getByText("Enter the security code").waitFor();
  assert.ok(!watch.requests.some((request) => request.method() === "POST"), "something was sent");
  assert.equal(await standing(payment), "requires_card");
  watch.assertQuiet();
});

test("numbers are grouped as on the card and the brand is named", async (t) => {
  const { page } = await at(t);
  const fields = cardFields(page);
  for (const [typed, shown, brand] of [
    ["4242424242424242", "4242 4242 4242 4242", "visa"],
    ["378282246310005", "3782 822463 10005", "american_express"],
    ["5555555555554444", "5555 5555 5555 4444", "mastercard"],
    ["6221260000000000", "6221 2600 0000 0000", "unionpay"],
  ]) {
    const number = fields.getByLabel("Card number");
    await number.fill("");
    await number.pressSequentially(typed);
    assert.equal(await number.inputValue(), shown);
    const mark = fields.locator("#brand-mark");
    assert.equal(await mark.getAttribute("href"), `#mark-${brand}`);
  }
});

test("test cards are offered in test mode, one click each", async (t) => {
  const { page } = await at(t);
  await page.locator("summary").click();
  await page.getByRole("button", { name: "Approved" }).click();
  await picture(page, "test-cards");
  await page.getByRole("button", { name: /^Pay/ }).click();
  await seesHeading(page, "Payment received");
});

test("what was typed is nowhere in the browser but in the fields", async (t) => {
  const { page, context, watch } = await at(t);
  await payWith(page, CARDS.approved);
  await seesHeading(page, "Payment received");
  const kept = async (frame) => frame.evaluate(async () => [
    localStorage.length, sessionStorage.length, document.cookie,
    (await indexedDB.databases()).length, (await caches.keys()).length, await navigator.serviceWorker?.getRegistrations?.().then((all) => all.length),
  ]);
  assert.deepEqual(await kept(page), [0, 0, "", 0, 0, 0]);
  assert.deepEqual(await context.cookies(), []);
  watch.assertNeverInAddress(CARDS.approved);
  await page.goBack().catch(() => {});
  await page.goForward().catch(() => {});
  assert.ok(!(await page.content()).includes(CARDS.approved));
});

test("without JavaScript the page says what is missing", async (t) => {
  const { page } = await at(t, {}, { javaScriptEnabled: false });
  const missing = page.locator("noscript p");
  await missing.waitFor();
  assert.match(await missing.textContent(), /^Paying by card needs JavaScript/);
  assert.ok(await page.getByText("19.99").first().isVisible());
  await picture(page, "no-script");
});

test("an address with a changed secret shows a page that does not exist, and nothing of the payment", async (t) => {
  const { page, payment } = await at(t);
  await page.goto(`${payment.checkout_url.slice(0, -3)}AAA`);
  await seesHeading(page, "This page does not exist");
  await picture(page, "unknown");
  const text = await page.content();
  assert.ok(!text.includes("19.99") && !text.includes("merchant"));
  assert.equal(new URL(page.url()).origin, stage.pay);
});
