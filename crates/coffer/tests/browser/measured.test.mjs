// The pages as others measure them: MDN's HTTP Observatory and Google's Lighthouse.

import assert from "node:assert/strict";
import dns from "node:dns";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { merchant, openBrowser, stage } from "./stage.mjs";

const CHECKOUT_SCORE = 140;
const FIELDS_SCORE = 130;

// Names below localhost are this machine (RFC 6761, 6.3), which Node leaves to a resolver.
const { lookup } = dns;
dns.lookup = (host, options, done) => lookup(host.endsWith(".localhost") ? "localhost" : host, options, done);

/**
 * The Observatory fetches the browsers' list of preloaded hosts when it is installed, and five of its points are for being
 * on it. Only a domain's owner can ask for that; here our host is on the list, to see that nothing else is missing.
 */
function asIfPreloaded() {
  const main = createRequire(import.meta.url).resolve("@mdn/mdn-http-observatory");
  const entry = { mode: "force-https", includeSubDomains: true, includeSubDomainsForPinning: false, pinned: false };
  writeFileSync(join(dirname(main), "../conf/hsts-preload.json"), JSON.stringify({ "coffer.localhost": entry }));
}

/** What the Observatory makes of a page, by its own rules, and where it gives less than it could. */
async function observe(address) {
  asIfPreloaded();
  const inside = (file) => import(new URL(file, import.meta.resolve("@mdn/mdn-http-observatory")));
  const [{ retrieve }, { ALL_TESTS }, grader] = await Promise.all(
    ["./retriever/retriever.js", "./constants.js", "./grader/grader.js"].map(inside),
  );
  const { hostname, port, pathname, search } = new URL(address);
  const options = { httpPort: Number(port), httpsPort: Number(port), path: pathname + search };
  const retrieved = await retrieve(hostname, options);
  const results = ALL_TESTS.map((check) => check(retrieved));
  const modifiers = results.map(({ result }) => [result, grader.getScoreModifier(result)]);
  return { score: modifiers.reduce((sum, [, modifier]) => sum + modifier, 100), modifiers };
}

test("the Observatory gives the checkout page all that it has to give", async (t) => {
  const { checkout_url: address } = await merchant.order();
  const { score, modifiers } = await observe(address);
  t.diagnostic(`${score}`);
  assert.ok(score >= CHECKOUT_SCORE, JSON.stringify(modifiers));
});

test("the Observatory thinks well of the card fields", async (t) => {
  const { page, close } = await openBrowser();
  t.after(close);
  await page.goto((await merchant.order()).checkout_url);
  const { score, modifiers } = await observe(await page.locator("iframe").getAttribute("src"));
  t.diagnostic(`${score}`);
  assert.ok(score >= FIELDS_SCORE, JSON.stringify(modifiers));
});

test("Lighthouse finds nothing that keeps anybody from using the page", async (t) => {
  const { default: lighthouse } = await import("lighthouse");
  const port = 9222 + (process.pid % 1000);
  const { close } = await openBrowser({ extra: [`--remote-debugging-port=${port}`] });
  t.after(close);
  const { checkout_url: address } = await merchant.order();
  const { lhr } = await lighthouse(address, { port, logLevel: "error", onlyCategories: ["accessibility", "best-practices", "performance"] });
  const scores = Object.entries(lhr.categories).map(([name, { score }]) => [name, score]);
  t.diagnostic(JSON.stringify(scores));
  assert.equal(lhr.categories.accessibility.score, 1);
  const failed = Object.values(lhr.audits).filter(({ score }) => score === 0).map(({ id }) => id);
  t.diagnostic(failed.join(" "));
  assert.equal(stage.pay, new URL(lhr.finalDisplayedUrl).origin);
});
