// How the pages look and read: on a small telephone, in the dark, without motion, to a screen reader, and how much they weigh.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { CARDS, cardFields, merchant, openBrowser, payWith, picture, seesHeading, typeCard } from "./stage.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
/** Of all that a payer loads before typing, as it travels. */
const WEIGHT_MAX = 30 * 1024;

async function at(t, options, more = {}) {
  // The policy would keep the checker out as it keeps out everybody else; nothing else is switched off.
  const browser = await openBrowser({ bypassCSP: true, ...options });
  t.after(() => browser.close());
  const payment = await merchant.order({ description: "A lamp with a rather long description that wraps", ...more });
  await browser.page.goto(payment.checkout_url);
  await cardFields(browser.page).getByLabel("Card number").waitFor();
  return { ...browser, payment };
}

/** What axe finds in a frame that is not its own fault. */
async function faults(frame) {
  await frame.evaluate(AXE);
  const { violations } = await frame.evaluate(
    (rules) => window.axe.run(document, { runOnly: rules, iframes: false, resultTypes: ["violations"] }),
    RULES,
  );
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

async function assertAccessible(page, name) {
  const ground = await page.locator(".panel").evaluate((panel) => getComputedStyle(panel).backgroundColor);
  for (const frame of page.frames()) {
    // The fields are transparent: what is behind them is the panel, which the checker cannot see from inside.
    if (frame.parentFrame()) await frame.evaluate((colour) => { document.documentElement.style.backgroundColor = colour; }, ground);
    assert.deepEqual(await faults(frame), [], `${name} ${frame.url().split("?")[0]}`);
  }
}

for (const colorScheme of ["light", "dark"]) {
  test(`every state of the page is accessible in ${colorScheme} mode`, async (t) => {
    const { page } = await at(t, { colorScheme }, { return_url: "https://shop.test/" });
    await assertAccessible(page, "form");
    await page.getByRole("button", { name: /^Pay/ }).click();
    await cardFields(page).getByText("Enter month and year").waitFor();
    await assertAccessible(page, "mistakes");
    await picture(page, `mistakes-${colorScheme}`);
    await payWith(page, CARDS.insufficientFunds);
    await page.getByText("The card was declined.").waitFor();
    await cardFields(page).getByLabel("Card number").waitFor();
    await assertAccessible(page, "declined");
    await picture(page, `declined-${colorScheme}`);
    await typeCard(page, CARDS.approved);
    await picture(page, `filled-${colorScheme}`);
    await page.getByRole("button", { name: /^Pay/ }).click();
    await seesHeading(page, "Payment received");
    await page.getByRole("button", { name: "Stay here" }).click();
    await assertAccessible(page, "paid");
    await picture(page, `paid-${colorScheme}`);
  });
}

for (const width of [320, 375, 768]) {
  test(`at ${width} px nothing is cut off and everything can be touched`, async (t) => {
    const { page } = await at(t, { viewport: { width, height: 700 }, hasTouch: true, isMobile: true });
    await picture(page, `form-${width}`);
    for (const frame of page.frames()) {
      const [scroll, client] = await frame.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(scroll <= client, `${frame.url()} is ${scroll} px wide in ${client}`);
    }
    await page.locator("summary").tap();
    for (const button of await page.getByRole("button").all()) {
      const { height } = await button.boundingBox();
      assert.ok(height >= 24, `a button of ${height} px`);
    }
    await page.getByRole("button", { name: "Approved" }).tap();
    await page.getByRole("button", { name: /^Pay/ }).tap();
    await seesHeading(page, "Payment received");
    await picture(page, `paid-${width}`);
  });
}

test("who wants no motion gets none", async (t) => {
  const { page } = await at(t, { reducedMotion: "reduce" });
  await payWith(page, CARDS.approved);
  await seesHeading(page, "Payment received");
  const moving = await page.evaluate(() =>
    document.getAnimations().filter(({ effect }) => effect.getComputedTiming().duration > 1).length);
  assert.equal(moving, 0);
});

test("a page weighs less than 30 KB, and its script holds nothing up", async (t) => {
  const browser = await openBrowser();
  t.after(() => browser.close());
  const { page, context } = browser;
  const payment = await merchant.order();
  const cdp = await context.newCDPSession(page);
  await cdp.send("Network.enable");
  let weight = 0;
  cdp.on("Network.loadingFinished", ({ encodedDataLength }) => { weight += encodedDataLength; });
  await page.goto(payment.checkout_url, { waitUntil: "networkidle" });
  t.diagnostic(`${weight} bytes, headers and the frame's included`);
  assert.ok(weight < WEIGHT_MAX, `${weight} bytes`);
  for (const script of await page.locator("script").all()) assert.equal(await script.getAttribute("type"), "module");
});
