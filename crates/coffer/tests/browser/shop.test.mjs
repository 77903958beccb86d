// The example shop (examples/merchant): its own page, with the vault's fields in it by coffer.js.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { test } from "node:test";
import { CARDS, cardFields, merchant, openBrowser, picture, stage, typeCard } from "./stage.mjs";

const TYPES = { ".html": "text/html", ".js": "text/javascript" };

/** The example as it ships, with its two settings filled in, and the shop's server that README.md describes. */
async function openShop(t) {
  const orders = [];
  const server = createServer(async (request, answer) => {
    if (request.method === "POST") {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const body = Buffer.concat(chunks).toString();
      orders.push(body);
      const paid = await merchant.order({ token: JSON.parse(body).token });
      return answer.setHeader("content-type", "application/json").end(JSON.stringify(paid));
    }
    const name = request.url === "/" ? "index.html" : request.url.slice(1);
    if (!TYPES[extname(name)]) return answer.writeHead(404).end();
    const text = readFileSync(join(stage.example, name), "utf8")
      .replace("pk_test_REPLACE_ME", stage.publishableKey)
      .replace("https://localhost:8443", stage.api)
      .replace("https://pay.coffer.localhost:8444", stage.pay);
    return answer.setHeader("content-type", TYPES[extname(name)]).end(text);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  const origin = `http://localhost:${server.address().port}`;
  return { origin, orders };
}

test("a payer pays in the shop, which sees a token and never the card", async (t) => {
  const shop = await openShop(t);
  await merchant.allow([shop.origin]);
  const { page, watch, close } = await openBrowser();
  t.after(close);
  await page.goto(shop.origin);
  await cardFields(page).getByLabel("Card number").waitFor();
  await picture(page, "shop");
  await typeCard(page, CARDS.approved);
  await page.getByRole("button", { name: "Pay €19.99" }).click();
  await page.getByText("Your cup is on its way.").waitFor();
  await picture(page, "shop-paid");
  assert.equal(shop.orders.length, 1);
  assert.match(shop.orders[0], /^\{"token":"tok_\w+"\}$/);
  watch.assertNeverInAddress(CARDS.approved);
  assert.deepEqual(watch.violations, []);
});

test("a declined card leaves the shop's page ready for another one", async (t) => {
  const shop = await openShop(t);
  await merchant.allow([shop.origin]);
  const { page, close } = await openBrowser({ colorScheme: "dark" });
  t.after(close);
  await page.goto(shop.origin);
  await typeCard(page, CARDS.insufficientFunds);
  await page.getByRole("button", { name: "Pay €19.99" }).click();
  await page.getByText("The card was declined.").waitFor();
  await picture(page, "shop-declined-dark");
  await typeCard(page, CARDS.approved);
  await page.getByRole("button", { name: "Pay €19.99" }).click();
  await page.getByText("Your cup is on its way.").waitFor();
});

test("a site that the account does not list gets no fields, and is told what to do", async (t) => {
  const shop = await openShop(t);
  await merchant.allow(["https://shop.test"]);
  const { page, close } = await openBrowser();
  t.after(close);
  await page.goto(shop.origin);
  await page.getByText("the account lists the origin").waitFor();
  assert.equal(await page.locator("iframe").count(), 0);
});
