// One query, two orders: what retrieval found, and what the ranker made of it.
//
// Titles, fields and messages come from catalogues and from elsewhere: they go in as text, never as markup. The whole list
// is asked for though its head is shown: features compare a product with all others of its list, so only the whole list
// explains a score, and only it tells how far down a product went.

const DEPTH = 100; // candidates
const HEAD = 20; // shown at first
const FEATURES = 8; // shown at first
const LONG = 48; // characters of a field, which has a line of its own from there on
const PATIENCE_MS = 250; // before "Searching" is said
const KEY = "ltr.key";
// An answer log has this as client_id, so that trials are not taken for shoppers' searches.
const WHO = { client: "page" };

// What each reason of an answer means, and what to do.
const ROLL_BACK = "If it goes on, roll back to the bundle before; the log tells what failed.";
const REASONS = {
  missing_match: ["The ranker reads the search engine's own scores, and none came with the candidates.",
    "Send each candidate's match scores with the request, or serve a bundle that works them out itself."],
  match_failed: ["The search engine's scores of the candidates could not be worked out.", ROLL_BACK],
  encoder_failed: ["The query could not be turned into a vector.", ROLL_BACK],
  features_failed: ["The features of the candidates could not be worked out.", ROLL_BACK],
  scorer_failed: ["The ranker failed on these candidates.", ROLL_BACK],
  deadline: ["The ranker was not done within the time allowed.",
    "Search again. If it goes on, look at which stage is slow, and allow more time or rank fewer candidates."],
  overloaded: ["More requests came than can be answered in time.",
    "Search again in a moment. If it goes on, start more workers."],
  circuit_open: ["A stage failed again and again, and is left alone for a while.",
    "It is tried again by itself; the log names the stage and what failed."],
  switched_off: ["Reranking is switched off.",
    "Somebody who runs the service switched it off. Switch it on again by POST /admin/on, with an admin's key."],
  internal: ["Something failed that has no name of its own.", "The log tells what failed."],
};

const by = (id) => document.getElementById(id);
const [main, input, told, heard, timings] = ["main", "query", "told", "heard", "timings"].map(by);
const [notice, keyForm, welcome, orders] = ["notice", "key", "welcome", "orders"].map(by);
const [before, after] = ["#retrieval ol", "#reranked ol"].map((one) => document.querySelector(one));

let version = {}; // the answer of GET /version
let found = null; // the answer of POST /search that is shown, and what this page made of it
let pointed = null; // the product that is pointed at
let asking = new AbortController(); // of the search under way

/** An element: functions among its attributes listen, strings among its children are text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const line = (text, kind) => make("p", { class: kind }, text);
const aloud = (text) => make("span", { class: "heard" }, text);
const button = (text, click, more = {}) => make("button", { type: "button", click, ...more }, text);
const pairs = (entries) => entries.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));

// Figures and names, with a true minus

const fixed = (value, digits = 3) => value.toFixed(digits).replace(/^-(?=.*[1-9])/, "−").replace("-", "");
const signed = (value) => fixed(value).replace(/^(?=\d.*[1-9])/, "+");
const ms = (value) => value.toFixed(value < 10 ? 2 : 1);
const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;
const named = ({ title, product_id }) => title || product_id;

/** A feature's value; whole, tiny and huge ones as they are. */
function short(value) {
  if (value === null || value === undefined) return "missing";
  const size = Math.abs(value);
  if (!Number.isInteger(value) && size >= 0.001 && size < 1000) return fixed(value);
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

/** A product's field. */
function worded(value) {
  if (value === null || value === undefined || value === "") return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(worded).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// Asking

class Failure extends Error {
  /** An answer's status and words; of status 0 where none came. */
  constructor(status, { error = "", request_id: id = "" } = {}) {
    super(error);
    Object.assign(this, { status, id });
  }
}

const memory = {}; // where the browser keeps nothing for pages
function key(value) {
  try {
    if (value) sessionStorage.setItem(KEY, value);
    if (value === "") sessionStorage.removeItem(KEY);
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    if (value !== undefined) memory.key = value;
    return memory.key ?? "";
  }
}

/** The service's answer, or a Failure. */
async function ask(path, body, signal) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  if (key()) headers.Authorization = `Bearer ${key()}`;
  const sent = body ? { method: "POST", body: JSON.stringify(body) } : {};
  try {
    const response = await fetch(path, { ...sent, headers, signal, cache: "no-store" });
    const answer = await response.json().catch((error) => {
      // What is no JSON came whole, and from somebody; anything else was cut off.
      if (error instanceof SyntaxError) return null;
      throw error;
    });
    if (!response.ok || !answer) throw new Failure(response.status, answer ?? {});
    return answer;
  } catch (error) {
    if (error instanceof Failure || error.name === "AbortError") throw error;
    throw new Failure(0);
  }
}

/** Learn who answers, and whether it lets this page ask. */
async function learn() {
  version = {};
  try {
    version = await ask("version");
  } catch (error) {
    if (error.status === 401) refuse();
  }
  const { bundle, model, state } = version;
  const facts = { bundle, model: model?.slice(0, 12), state: state?.version?.slice(0, 12), "as of": state?.as_of };
  by("version").replaceChildren(...pairs(Object.entries(facts).filter(([, value]) => value)));
  // Links carry no key.
  for (const link of document.querySelectorAll("footer a")) link.hidden = Boolean(key()) && !link.href.includes("/health/");
  by("forget").hidden = !key();
}

async function search(query) {
  asking.abort();
  const { signal } = (asking = new AbortController());
  const waiting = setTimeout(() => clear("Searching…"), PATIENCE_MS);
  const started = performance.now();
  main.setAttribute("aria-busy", "true");
  try {
    const answer = understood(await ask("search", { query, size: DEPTH, context: WHO }, signal), started);
    clear();
    if (answer.candidates) show(answer);
    else nothing(query);
  } catch (error) {
    if (error.name === "AbortError") return;
    clear();
    if (error.status === 401) refuse();
    else fail(error instanceof Failure ? error : new Failure(200));
  } finally {
    clearTimeout(waiting);
    if (!signal.aborted) main.removeAttribute("aria-busy");
  }
}

/** The answer of a search, and what is worked out of it. */
function understood(answer, started) {
  const products = new Map(answer.results.map((one) => [one.product_id, one]));
  const largest = Math.max(0, ...answer.retrieval.map((one) => Math.abs(one.score ?? 0)));
  const digits = largest > 0 ? Math.min(Math.max(2 - Math.floor(Math.log10(largest)), 0), 8) : 0;
  return { ...answer, elapsed: performance.now() - started, products, digits, rows: new Map(), explained: null };
}

/** What each feature adds to each score of a search, asked once. */
function explanation(of) {
  const candidates = of.retrieval.map(({ product_id, score, match }) => ({ product_id, score, match }));
  of.explained ??= ask("explain", { query: of.query, candidates, features: true, explain: true }).then(
    (answer) => ({ ...answer, rows: new Map(answer.results.map((one) => [one.product_id, one])) }),
    (error) => {
      of.explained = null;
      throw error;
    },
  );
  return of.explained;
}

// Telling

function clear(text = "") {
  told.textContent = text;
  heard.textContent = "";
  notice.replaceChildren();
  for (const one of [timings, keyForm, welcome, orders]) one.hidden = true;
}

/** A notice: a heading, paragraphs, and whether to ask again. */
function tell(heading, texts, again) {
  notice.replaceChildren(make("h2", {}, heading), ...texts.filter(Boolean).map((text) => line(text)));
  if (again) notice.append(button("Try again", go));
}

function fail({ status, message, id }) {
  const words = message ? `The service says: ${message}` : status ? `It answers with status ${status}.` : "";
  const log = id && `Its log has more under request ${id}.`;
  if (status === 0) {
    const text = `Nothing answers at ${location.origin}. Is it running, and is this machine connected?`;
    tell("The service cannot be reached", [text], true);
  } else if (status === 200) {
    tell("The answer cannot be read", ["Something other than ltr may be answering here."], true);
  } else if (status === 503) {
    // Where the engine was not asked at all, the words end in the reason.
    const [why] = REASONS[message.match(/\((overloaded|circuit_open|internal)\)$/)?.[1]] ?? [
      "The search engine gave no candidates, or not in time. Is it up, and does the service know its address and password?",
    ];
    tell("Retrieval failed, so there is nothing to rerank", [why, words, log], true);
  } else if (status === 429) {
    tell("Too many searches at once", ["Wait a moment.", words], true);
  } else if (status < 500) {
    tell("The service does not take this query", [words, log]);
  } else {
    tell("The service failed", [words, log], true);
  }
}

function refuse() {
  by("key-told").textContent = key()
    ? "The key that this page had was refused; it may have been replaced. Ask whoever runs the service."
    : "Ask whoever runs the service. The key stays in this tab, and is gone when the tab is closed.";
  keyForm.hidden = false;
  by("key-value").focus();
}

function invite() {
  clear();
  const examples = version.examples ?? [];
  const links = examples.map((query) => make("a", { href: `?${new URLSearchParams({ q: query })}` }, query));
  welcome.replaceChildren(
    make("h2", {}, "One query, two orders"),
    line("What retrieval finds, beside what the ranker makes of it: which products moved, and which features moved them."),
    line(`Type what a shopper would type${links.length ? ", or try one of these:" : ": a kind of product, a brand, a wish."}`),
    make("ul", {}, ...links.map((link) => make("li", {}, link))),
  );
  welcome.hidden = false;
}

function nothing(query) {
  told.textContent = `Nothing was found for “${query}”.`;
  welcome.replaceChildren(line("Retrieval found no candidates: there is nothing to rerank. Try fewer or other words."));
  welcome.hidden = false;
}

function show(answer) {
  found = answer;
  const { results, retrieval, degraded, candidates } = answer;
  told.textContent = `${plural(candidates, "candidate")} in ${ms(answer.took_ms)} ms${degraded ? "" : changes(results)}.`;
  const stages = { ...answer.timings_ms, "in all": answer.took_ms, "round trip": answer.elapsed };
  timings.firstElementChild.replaceChildren(...pairs(Object.entries(stages).map(([stage, value]) => [stage, ms(value)])));
  if (degraded) excuse(answer);
  by("reranked-title").textContent = degraded ? "Not reranked" : "Reranked";
  by("reranked-told").textContent = degraded ? "In the order received" : "Open a product to see why it stands there";
  before.replaceChildren(...retrieval.map(retrieved));
  after.replaceChildren(...results.map((one, at) => reranked(one, results[at + 1])));
  timings.hidden = orders.hidden = false;
  extend(false);
  if (version.model && !version.model.startsWith(answer.model)) learn();
}

/** How much of the order is new. */
function changes(results) {
  const moved = results.filter((one) => one.was !== one.rank).length;
  const fresh = results.filter((one) => one.rank <= 10 && one.was > 10).length;
  const top = results.length > 10 ? ` · ${fresh} of the first 10 ${fresh === 1 ? "is" : "are"} new there` : "";
  return ` · ${moved} moved${top}`;
}

/** Why the order is not the ranker's, and what to do. */
function excuse({ reason, request_id: id }) {
  const [meaning, remedy] = REASONS[reason] ?? ["The ranker did not answer.", "The log tells what failed."];
  const code = `Degraded: ${reason}. The service's log has more under request ${id}.`;
  tell("Not reranked", [`${meaning} This is the order of retrieval, unchanged.`, `What to do: ${remedy}`, code]);
}

/** Show the head of both lists, or the whole of them. */
function extend(whole) {
  const length = Math.max(before.children.length, after.children.length);
  for (const list of [before, after]) [...list.children].forEach((row, at) => (row.hidden = !whole && at >= HEAD));
  by("rest").hidden = length <= HEAD;
  by("more").textContent = whole ? `Show the first ${HEAD}` : `Show all ${length}`;
  by("more").onclick = () => extend(!whole);
  draw();
}

/** How far a product went: a sign to see, words to hear. */
function movement(from, to) {
  const places = Math.abs(from - to);
  const [kind, sign, words] =
    from > to ? ["up", `▲ ${places}`, `up ${places}`]
    : from < to ? ["down", `▼ ${places}`, `down ${places}`]
    : ["same", "=", "same place"];
  return make("span", { class: `movement ${kind}` }, make("span", { "aria-hidden": "true" }, sign), aloud(words));
}

function retrieved(one) {
  const { product_id: id, rank, score } = one;
  const went = make("p", { class: "moved" });
  if (found.products.has(id)) {
    const now = found.products.get(id).rank;
    const label = `now ${now}: show ${named(one)} in the reranked order`;
    went.append(movement(rank, now), button(`now ${now}`, () => jump(id), { class: "went", "aria-label": label }));
  }
  const row = make("div", { class: "row" },
    make("span", { class: "rank" }, String(rank)),
    make("h3", { title: named(one) }, named(one)),
    make("p", { class: "facts" }, make("code", {}, id)),
    went,
    make("p", { class: "score" }, aloud("score "), score === null ? "" : fixed(score, found.digits)));
  return known(one, { before: make("li", {}, row) }).before;
}

function reranked(one, next) {
  const { product_id: id, rank, was, score, pinned, excluded } = one;
  const name = `details-${rank}`;
  const details = make("div", { class: "details", id: name, role: "group", "aria-label": `Details of ${named(one)}`, hidden: true });
  const opener = button(named(one), () => open(one, next, opener, details), { "aria-expanded": "false", "aria-controls": name });
  const flags = [pinned && "pinned first", excluded && "excluded"].filter(Boolean);
  const row = make("div", { class: "row" },
    make("span", { class: "rank" }, String(rank)),
    make("p", { class: "moved" }, movement(was, rank), make("span", { class: "went" }, `was ${was}`)),
    make("h3", {}, opener),
    make("p", { class: "facts" },
      make("code", {}, id),
      ...flags.map((flag) => make("strong", {}, flag)),
      ...glimpse(one).map((text) => make("span", {}, text))),
    make("p", { class: "score" }, ...(found.degraded ? [] : [aloud("score "), fixed(score)])));
  return known(one, { after: make("li", {}, row, details), opener }).after;
}

/** Remember the rows of a product. */
function known({ product_id: id, rank }, parts) {
  (parts.before ?? parts.after).dataset.product = id;
  found.rows.set(id, { ...found.rows.get(id), ...parts, [parts.before ? "from" : "to"]: rank });
  return parts;
}

/** A product's first short texts but for its title, and its price. */
function glimpse({ product, title }) {
  const small = (value) => typeof value === "string" && value && value !== title && value.length <= 24;
  const price = typeof product?.price === "number" ? [`price ${product.price}`] : [];
  return [...Object.values(product ?? {}).filter(small).slice(0, 3), ...price];
}

function jump(id) {
  const { after: row, opener } = found.rows.get(id);
  if (row.hidden) extend(true);
  by("show-reranked").checked = true;
  opener.focus();
  row.scrollIntoView({ block: "nearest" });
}

// Details

function open(one, next, opener, details) {
  const closed = opener.getAttribute("aria-expanded") === "false";
  opener.setAttribute("aria-expanded", String(closed));
  details.hidden = !closed;
  if (closed && !details.childElementCount) {
    const why = make("div", { class: "why" });
    details.append(why, make("h4", {}, "The product"), portrait(one));
    explain(one, next, why);
  }
  draw();
}

/** A product's fields, the long ones last. */
function portrait({ product }) {
  const entries = Object.entries(product ?? {}).map(([field, value]) => [field, worded(value)]);
  if (!entries.length) return line("The service's catalogue does not have this product: its features are missing.");
  const [small, long] = [false, true].map((is) => entries.filter(([, text]) => text.length > LONG === is));
  return make("div", { class: "product" }, make("dl", {}, ...pairs(small)), make("dl", {}, ...pairs(long)));
}

/** Put into ``why`` what moved a product, and why it is above the next one. */
async function explain(one, next, why) {
  const of = found;
  if (of.degraded) return why.append(line("There is nothing to explain: the ranker did not order this list."));
  why.textContent = "Explaining…";
  try {
    const answer = await explanation(of);
    const [row, below] = [one, next].map((which) => which && answer.rows.get(which.product_id));
    if (answer.degraded || !row?.contributions) {
      const told = answer.notes?.join(" ") || `The scores could not be explained (${answer.reason || "no figures came"}).`;
      return why.replaceChildren(line(told));
    }
    heard.textContent = `Explained. ${balance(row, answer.base)}`;
    const stale = answer.model === of.model ? [] : [line("The service changed its model since this search: search again.")];
    why.replaceChildren(...stale, ...contributions(row, answer.base), ...(below ? versus(one, row, next, below) : []));
  } catch (error) {
    if (error.status === 401) {
      clear();
      return refuse();
    }
    heard.textContent = "The scores could not be explained.";
    const told = `The scores could not be explained${error.message ? `: ${error.message}` : "."}`;
    why.replaceChildren(line(told), button("Try again", () => explain(one, next, why)));
  } finally {
    draw();
  }
}

/** How a score comes about, in a line. */
function balance({ score, contributions: parts }, base) {
  const values = Object.values(parts);
  const sum = values.reduce((total, part) => total + part, 0);
  const [up, down] = [values.filter((part) => part > 0).length, values.filter((part) => part < 0).length];
  return `Score ${fixed(score)} = start ${fixed(base)}, features ${signed(sum)} (${up} push up, ${down} push down).`;
}

/** What each feature adds to a product's score. */
function contributions(row, base) {
  const rows = Object.entries(row.contributions).map(([feature, part]) => [feature, part, [row.features?.[feature]]]);
  const heading = make("h4", {}, "What pushed it up or down");
  return [heading, line(balance(row, base)), table(["feature", "value", "adds"], rows)];
}

/** Why a product stands above the next one: the difference of their contributions. */
function versus(one, row, next, below) {
  const rows = Object.entries(row.contributions).map(([feature, part]) => {
    return [feature, part - below.contributions[feature], [row.features?.[feature], below.features?.[feature]]];
  });
  const ahead = row.score - below.score;
  const how =
    one.pinned ? "It is pinned, whatever the scores say:"
    : next.excluded ? "The next one is excluded, whatever the scores say:"
    : ahead === 0 ? "Their scores are equal, so the order of retrieval stands:"
    : `Its score is ${fixed(ahead)} higher:`;
  const heading = make("h4", {}, `Why it is above ${next.rank}`);
  return [heading, line(`${named(next)}. ${how}`), table(["feature", "this", "next", "difference"], rows)];
}

/** Features by how much they do, the most first, the rest on request. Each figure is there in full as a value. */
function table(heads, rows) {
  rows.sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  const most = Math.abs(rows[0]?.[1] ?? 0) || 1;
  const body = rows.map(([feature, part, values], at) => {
    const bar = make("span", { class: `bar ${part < 0 ? "down" : "up"}`, "aria-hidden": "true" });
    bar.style.setProperty("--part", Math.abs(part) / most);
    // A long name breaks between its words.
    const words = feature.split(/(?<=[_.])/).flatMap((word) => [word, make("wbr")]);
    return make("tr", { hidden: at >= FEATURES },
      make("th", { scope: "row" }, ...words),
      ...values.map((value) => make("td", {}, short(value))),
      make("td", {}, make("data", { value: part }, signed(part))),
      make("td", { class: "bars" }, bar));
  });
  const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col" }, name)), make("td", { class: "bars" }));
  const whole = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  const rest = rows.slice(FEATURES).map(([, part]) => part);
  if (!rest.length) return whole;
  const more = button(`Show the other ${rest.length}, ${signed(rest.reduce((sum, part) => sum + part, 0))} together`, () => {
    for (const row of body) row.hidden = false;
    more.remove();
    draw();
  });
  return make("div", {}, whole, more);
}

// Lines from a product's one place to its other

function draw() {
  const lines = by("lines");
  lines.replaceChildren();
  const { top, width, height } = lines.getBoundingClientRect();
  if (!found || !width) return;
  lines.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const middle = (row) => {
    if (!row || row.hidden) return null;
    const box = row.firstElementChild.getBoundingClientRect();
    return box.top + box.height / 2 - top;
  };
  for (const [id, { before: left, after: right, from, to }] of found.rows) {
    const curve = path(middle(left), middle(right), width);
    if (!curve) continue;
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
    drawn.setAttribute("d", curve);
    drawn.setAttribute("class", from > to ? "up" : from < to ? "down" : "same");
    drawn.dataset.product = id;
    lines.append(drawn);
  }
  mark();
}

/** From one height to the other; only the beginning of a line whose other end is not shown. */
function path(from, to, width) {
  if (from === null) return to === null ? "" : `M${width} ${to}q-12 0-18 14`;
  return to === null ? `M0 ${from}q12 0 18 14` : `M0 ${from}C${width / 2} ${from} ${width / 2} ${to} ${width} ${to}`;
}

/** Mark the product that is pointed at, in both orders and between them. */
function mark() {
  for (const one of orders.querySelectorAll("[data-product]")) one.classList.toggle("marked", one.dataset.product === pointed);
}

function point({ target }) {
  pointed = target.closest("[data-product]")?.dataset.product ?? null;
  mark();
}

// Steering

const wanted = () => new URLSearchParams(location.search).get("q")?.trim() ?? "";

/** Show what the address says: a query's two orders, or an invitation. */
function go() {
  const query = wanted();
  if (input.value.trim() !== query) input.value = query;
  document.title = query ? `${query} · ltr` : "ltr: one query, two orders";
  if (query) return search(query);
  asking.abort();
  main.removeAttribute("aria-busy");
  return invite();
}

function visit(address) {
  if (address !== location.search) history.pushState(null, "", address || location.pathname);
  go();
}

async function start() {
  await learn();
  if (keyForm.hidden) go();
}

/** Arrow keys walk from product to product. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const openers = [...after.querySelectorAll("li:not([hidden]) h3 button")];
  const at = openers.indexOf(event.target);
  if (!step || at < 0 || !openers[at + step]) return;
  event.preventDefault();
  openers[at + step].focus();
}

by("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = input.value.trim();
  visit(query && `?${new URLSearchParams({ q: query })}`);
});
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const value = by("key-value").value.trim();
  // A header carries nothing else.
  if (!/^[\x21-\x7e]+$/.test(value)) {
    by("key-told").textContent = "A key is made of visible ASCII characters, without spaces.";
    return;
  }
  key(value);
  by("key-value").value = "";
  keyForm.hidden = true;
  start();
});
by("forget").addEventListener("click", () => {
  key("");
  clear();
  start();
});
welcome.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  visit(new URL(link.href).search);
});
after.addEventListener("keydown", walk);
orders.addEventListener("pointerover", point);
orders.addEventListener("focusin", point);
addEventListener("popstate", go);
addEventListener("resize", draw);

// A search need not wait to be told who answers; an invitation has its examples from there.
if (wanted()) {
  go();
  learn();
} else {
  input.focus();
  start();
}
