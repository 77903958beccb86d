// Coffer's card fields on a merchant's own page. The fields are a frame that the vault serves: this script and the page
// around it learn a brand, whether the fields are complete, and a token; never a digit of the card.
//
//   const card = Coffer({ key: "pk_test_…", api: "https://api.example" }).card();
//   await card.mount("#card");
//   const token = await card.tokenize();   // send token.id to your server
//
// It stores nothing, loads nothing else, and talks only to the API (for an intake) and to its own frame.

(() => {
  "use strict";

  const EVENTS = ["ready", "change", "valid", "token", "error", "submit"];
  const MOUNT_TIMEOUT_MS = 15_000;
  const TOKENIZE_TIMEOUT_MS = 40_000;
  const MINUTE_MS = 60_000;

  /** Every failure: `code` is for programs, `message` says what to do, `retry` whether trying again may help. */
  class CofferError extends Error {
    constructor(code, message, retry = false) {
      super(message);
      Object.assign(this, { name: "CofferError", code, retry });
    }
  }

  /** Over plain HTTP only to this machine itself, for development. */
  const isSafe = ({ protocol, hostname }) =>
    protocol === "https:" || (protocol === "http:" && /^(.+\.)?localhost$|^127\.0\.0\.1$/.test(hostname));

  function checkKey(key) {
    if (/^sk_/.test(key)) {
      const advice = "Use a publishable key (pk_…), and revoke this one if others could see the page.";
      throw new CofferError("secret_key", `sk_ keys never belong in a browser. ${advice}`);
    }
    if (!/^pk_(test|live)_\w+$/.test(key)) {
      throw new CofferError("key_missing", "Coffer({ key, api }) needs a publishable key, pk_….");
    }
  }

  function parseApi(api) {
    try {
      const url = new URL(api);
      if (isSafe(url)) return url.origin;
    } catch {
      // Answered below.
    }
    throw new CofferError("api_missing", "Coffer({ key, api }) needs the https:// address of the API.");
  }

  /** Asks the API for permission to deposit one card from this page. */
  async function intake({ key, api }) {
    const answer = await fetch(`${api}/v1/intakes`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: "{}",
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
    }).catch(() => {
      const check = `Check the address, its certificate, and that the account lists the origin ${location.origin}`;
      throw new CofferError("network", `${api} did not answer this page. ${check} (PATCH /v1/account).`, true);
    });
    const content = await answer.json().catch(() => ({}));
    if (answer.ok) return content;
    const { code = "network", detail = `The API answered ${answer.status}.` } = content;
    throw new CofferError(code, detail, answer.status >= 500);
  }

  const base64url = (value) =>
    btoa(JSON.stringify(value)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  /** Light or dark as the place where the fields are put, unless the merchant chose. */
  function withScheme(style, place) {
    const around = getComputedStyle(place).colorScheme;
    const scheme = !/dark/.test(around) ? "light" : /light/.test(around) ? "auto" : "dark";
    return { scheme, ...style };
  }

  /** Hidden until the fields are styled. They leave 4 px around themselves for their focus rings. */
  function frameFor(source, style, title, height) {
    const frame = document.createElement("iframe");
    frame.title = title;
    frame.setAttribute("sandbox", "allow-scripts allow-same-origin");
    frame.allow = "payment 'none'";
    frame.referrerPolicy = "no-referrer";
    Object.assign(frame.style, {
      display: "block",
      width: "calc(100% + 8px)",
      height,
      margin: "-4px",
      border: "0",
      visibility: "hidden",
      // A frame of another scheme than its surroundings would get an opaque ground.
      colorScheme: style.scheme === "auto" ? "light dark" : style.scheme,
    });
    frame.src = `${source}&style=${base64url(style)}`;
    return frame;
  }

  /** A promise that is settled from outside, or fails in time. */
  function waiting(timeout, message) {
    const wait = {};
    wait.promise = new Promise((resolve, reject) => Object.assign(wait, { resolve, reject }));
    const timer = setTimeout(() => wait.reject(new CofferError("timeout", message, true)), timeout);
    wait.promise.catch(() => {}).then(() => clearTimeout(timer));
    return wait;
  }

  /** One set of card fields. */
  class Card {
    #settings;
    #listeners = Object.fromEntries(EVENTS.map((name) => [name, new Set()]));
    #place = null;
    #frame = null;
    #origin = "";
    #height = "220px";
    #fields = {};
    #focused = null;
    #mounted = null;
    #pending = null;
    #renewal = 0;
    /** Tells a mounting that a later one, or an unmounting, has replaced it. */
    #serial = 0;

    constructor(settings) {
      this.#settings = settings;
      window.addEventListener("message", (event) => this.#receive(event));
    }

    /** Puts the fields into an element; again for another card. Resolves when they can be used. */
    async mount(target) {
      const place = typeof target === "string" ? document.querySelector(target) : target;
      if (!(place instanceof Element)) {
        throw new CofferError("element_missing", "card.mount() needs an element of this page, or its selector.");
      }
      const serial = (this.#serial += 1);
      const { fields_url: source, expires } = await intake(this.#settings);
      if (serial !== this.#serial) throw new CofferError("unmounted", "The fields were taken away meanwhile.");
      this.#takeAway();
      const { style = {}, title = "Card details" } = this.#settings;
      this.#origin = new URL(source).origin;
      this.#place = place;
      this.#frame = frameFor(source, withScheme(style, place), title, this.#height);
      const check = "Check that this page's Content-Security-Policy lists them in frame-src.";
      this.#mounted = waiting(MOUNT_TIMEOUT_MS, `The card fields at ${this.#origin} did not load. ${check}`);
      place.replaceChildren(this.#frame);
      this.#renewBefore(Date.parse(expires));
      return this.#mounted.promise;
    }

    /** Takes the fields away. */
    unmount() {
      this.#serial += 1;
      this.#takeAway();
    }

    /** The card's token; rejects with `code` and `message` when there is none. Called twice, it is one deposit. */
    async tokenize() {
      if (!this.#frame) throw new CofferError("not_mounted", "Call card.mount() before card.tokenize().");
      if (!this.#pending) {
        const pending = waiting(TOKENIZE_TIMEOUT_MS, "The card fields did not answer. Please try again.");
        this.#pending = pending;
        const over = () => {
          if (this.#pending === pending) this.#pending = null;
        };
        pending.promise.then(over, over);
        this.#mounted.promise.then(() => this.#tell("tokenize"), pending.reject);
      }
      return this.#pending.promise;
    }

    /** Puts the cursor into a field (number, expiry, cvc), or into the first that is not complete. */
    focus(field) {
      this.#tell("focus", { field });
    }

    /** Locks the fields, or unlocks them. */
    disable(disabled = true) {
      this.#tell("disable", { disabled });
    }

    /** Listens for ready, change, valid, token, error, or submit (Enter in a field). Returns how to stop. */
    on(name, listener) {
      if (!EVENTS.includes(name)) throw new CofferError("event_unknown", `The events are ${EVENTS.join(", ")}.`);
      this.#listeners[name].add(listener);
      return () => this.#listeners[name].delete(listener);
    }

    #tell(type, content) {
      if (this.#frame) this.#frame.contentWindow.postMessage({ coffer: 1, type, ...content }, this.#origin);
    }

    #receive({ source, origin, data }) {
      if (!this.#frame || source !== this.#frame.contentWindow || origin !== this.#origin) return;
      if (!data || data.coffer !== 1 || !EVENTS.includes(data.type)) return;
      const { coffer, type, ...content } = data;
      this.#resize(content.height);
      if (type === "ready") this.#appear();
      if (type === "change") [this.#fields, this.#focused] = [content.fields, content.focused];
      if (type === "token" && this.#pending) this.#pending.resolve(content.token);
      if (type === "error") this.#fail(content);
      this.#listeners[type].forEach((listener) => listener(type === "token" ? content.token : content));
    }

    #resize(height) {
      if (!(height > 0 && height < 2_000)) return;
      this.#height = `${Math.ceil(height)}px`;
      this.#frame.style.height = this.#height;
    }

    #appear() {
      this.#frame.style.visibility = "visible";
      this.#mounted.resolve();
    }

    #fail({ code, message, retry }) {
      if (this.#pending) this.#pending.reject(new CofferError(code, message, retry));
      if (/^ticket_/.test(code)) this.#renew();
    }

    /** A minute early; the clock of this computer may be wrong, so never at once and never after a ticket's life. */
    #renewBefore(expires) {
      const left = Math.min(Math.max((expires || 0) - Date.now() - MINUTE_MS, MINUTE_MS), 14 * MINUTE_MS);
      this.#renewal = setTimeout(() => {
        // What was typed is not thrown away: then the ticket is renewed when it proves to be over.
        const touched = Object.values(this.#fields).some((state) => state !== "empty");
        if (!touched && !this.#pending) this.#renew();
      }, left);
    }

    async #renew() {
      const focused = this.#focused;
      try {
        await this.mount(this.#place);
        if (focused) this.focus(focused);
      } catch ({ code, message, retry }) {
        this.#listeners.error.forEach((listener) => listener({ code, message, retry }));
      }
    }

    #takeAway() {
      const gone = new CofferError("unmounted", "The card fields were taken away.");
      if (this.#pending) this.#pending.reject(gone);
      if (this.#mounted) this.#mounted.reject(gone);
      clearTimeout(this.#renewal);
      if (this.#frame) this.#frame.remove();
      [this.#frame, this.#fields, this.#focused] = [null, {}, null];
    }
  }

  /** The beginning of everything: your publishable key, and where your API is. */
  window.Coffer = function Coffer({ key, api } = {}) {
    checkKey(key);
    const settings = { key, api: parseApi(api) };
    return { card: (options) => new Card({ ...options, ...settings }) };
  };
})();
