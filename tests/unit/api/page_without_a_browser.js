// Runs the page's modules on a document of plain objects; ANSWERS holds what the API says. Prints one JSON object.
class Element {
  constructor(tag) {
    this.tag = tag; this.attributes = {}; this.children = []; this.dataset = {}; this.listeners = {}; this.hidden = false;
  }
  setAttribute(name, value) { this.attributes[name] = value; if (name.startsWith("data-")) this.dataset[name.slice(5)] = value; }
  append(...more) { for (const one of more) this.children.push(one instanceof Element ? one : String(one)); }
  replaceChildren(...more) { this.children = []; this.append(...more); }
  set textContent(text) { this.children = [String(text)]; }
  get textContent() { return this.children.map((one) => (one instanceof Element ? one.textContent : one)).join(" "); }
  all() { return this.children.flatMap((one) => (one instanceof Element ? [one, ...one.all()] : [])); }
  querySelectorAll(wanted) {
    const tests = { "details[open]": (one) => one.tag === "details" && one.open, details: (one) => one.tag === "details", "[data-time]": (one) => "time" in one.dataset };
    return this.all().filter(tests[wanted]);
  }
  contains() { return false; }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  getContext() { return null; }
}
const places = {};
globalThis.document = {
  documentElement: new Element("html"), activeElement: null, hidden: false,
  createElement: (tag) => new Element(tag),
  getElementById: (id) => (places[id] ??= new Element(id)),
  querySelectorAll: (wanted) => Object.values(places).flatMap((one) => one.querySelectorAll(wanted)),
  addEventListener() {},
};
globalThis.window = { addEventListener() {} };
globalThis.localStorage = { getItem: () => "red", setItem() {} };
const rounds = [];
globalThis.setTimeout = (call, wait) => { rounds.push([call, wait]); return 0; };
globalThis.clearTimeout = () => {};
const asked = [];
let down = false;
globalThis.fetch = async (path, { headers }) => {
  asked.push([path, headers["If-None-Match"] ?? null]);
  if (down) return { status: 503, ok: false, json: async () => ({ detail: "The graph cannot be reached." }) };
  const { etag, body } = ANSWERS[path];
  if (headers["If-None-Match"] === etag) return { status: 304, ok: false };
  return { status: 200, ok: true, headers: new Map([["ETag", etag]]), json: async () => body };
};
await import("./app.js");
const settle = () => new Promise((resolve) => setImmediate(resolve));
for (let k = 0; k < 50; k += 1) await settle();
const firstAsked = asked.splice(0);
const drawn = places["list-tables"].children[0];
const pairs = places["event-table"].querySelectorAll("details")[0];
if (pairs) { pairs.open = true; await pairs.listeners.toggle(); asked.splice(0); }
await rounds.at(-1)[0]();
const second = { asked: asked.splice(0), kept: places["list-tables"].children[0] === drawn, wait: rounds.at(-1)[1] };
down = true;
await rounds.at(-1)[0]();
const failed = { problem: places.problem.textContent, hidden: places.problem.hidden, wait: rounds.at(-1)[1] };
const outline = (one) => (one instanceof Element ? { tag: one.tag, attributes: one.attributes, children: one.children.map(outline) } : one);
console.log(JSON.stringify({
  firstAsked, second, failed, lists: outline(places["list-tables"]), events: outline(places["event-table"]),
  status: places.status.textContent, totals: places.totals.textContent, theme: document.documentElement.dataset.theme,
}));
