// What the stories share: a browser that trusts this installation alone, a merchant's calls, and a watch over everything
// that a page does. The Rust test that starts a story says in COFFER_STAGE where everything is.

import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const stage = JSON.parse(process.env.COFFER_STAGE);

/** Cards of the simulator (docs/testing.md). */
export const CARDS = {
  approved: "4242424242424242",
  amex: "378282246310005",
  challenge: "4000000000003220",
  insufficientFunds: "4000000000009995",
};
/** The future, as a payer types it. */
export const EXPIRY = `12${(new Date().getFullYear() + 3) % 100}`;

const CHROMIUM = process.env.COFFER_CHROMIUM || "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** The hash of a certificate's key, by which Chromium can be told to trust it and no other. */
function keyHash(path) {
  const key = new X509Certificate(readFileSync(path)).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("base64");
}

/** A browser with nothing in it. `watch` is about every page of it. */
export async function openBrowser({ extra = [], ...options } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "coffer-browser-"));
  const trusted = stage.certificates.map(keyHash).join(",");
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: [...FLAGS, ...extra, `--ignore-certificate-errors-spki-list=${trusted}`],
    viewport: { width: 1100, height: 800 },
    ...options,
  });
  const watch = new Watch();
  await watch.over(context);
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, watch, page: context.pages()[0], close };
}

/** Every request, violation and error of a browser's pages. */
class Watch {
  requests = [];
  violations = [];
  errors = [];

  async over(context) {
    context.on("request", (request) => this.requests.push(request));
    context.on("weberror", (error) => this.errors.push(String(error.error())));
    context.on("console", (message) => {
      if (message.type() === "error") this.errors.push(message.text());
    });
    await context.exposeBinding("cofferViolation", (_, violation) => this.violations.push(violation));
    await context.addInitScript(() =>
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
        window.cofferViolation({ violatedDirective, blockedURI }),
      ),
    );
  }

  /** Nothing was blocked, nothing went wrong, and nothing went anywhere but to our own faces. */
  assertQuiet() {
    assert.deepEqual(this.violations, []);
    assert.deepEqual(this.errors, []);
    const own = [stage.pay, stage.fields, stage.simulator];
    for (const request of this.requests) {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== "about:" && protocol !== "data:") assert.ok(own.includes(origin), `a request to ${origin}`);
    }
  }

  /** No address that was asked for holds this text. */
  assertNeverInAddress(text) {
    for (const request of this.requests) assert.ok(!request.url().includes(text), "a card in an address");
  }
}

async function call(method, path, body) {
  const answer = await fetch(`${stage.api}${path}`, {
    method,
    headers: { authorization: `Bearer ${stage.secretKey}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const content = await answer.json();
  assert.ok(answer.ok, JSON.stringify(content));
  return content;
}

/** The merchant's calls. */
export const merchant = {
  order: (more = {}) => call("POST", "/v1/payments", { amount: 1999, currency: "EUR", ...more }),
  payment: (id) => call("GET", `/v1/payments/${id}`),
  cancel: (id) => call("POST", `/v1/payments/${id}/cancel`),
  allow: (origins) => call("PATCH", "/v1/account", { origins }),
};

/** The card fields in a page. */
export const cardFields = (page) => page.frameLocator("iframe");

/** Types a card as a payer does, and presses the button. */
export async function payWith(page, number, { cvc = "123" } = {}) {
  await typeCard(page, number, { cvc });
  await page.getByRole("button", { name: /^Pay/ }).click();
}

export async function typeCard(page, number, { cvc = "123" } = {}) {
  const fields = cardFields(page);
  await fields.getByLabel("Card number").click();
  // Each field leads on to the next one when it is complete.
  await page.keyboard.type(number);
  await fields.getByLabel("Expiry date").click();
  await page.keyboard.type(EXPIRY);
  await fields.getByLabel("Security code").click();
  await page.keyboard.type(cvc);
}

/** The page says this, as its heading. */
export const seesHeading = (page, name) => page.getByRole("heading", { name, level: 1 }).waitFor();

/** A picture for people to look at, when they ask for it. */
export async function picture(page, name) {
  if (!process.env.COFFER_PICTURES) return;
  mkdirSync(process.env.COFFER_PICTURES, { recursive: true });
  await page.screenshot({ path: join(process.env.COFFER_PICTURES, `${name}.png`), fullPage: true });
}
