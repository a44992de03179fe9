// Keeps the page up to date: asks for events and lists when there is news and every few seconds, redraws what changed.

import { formatAge } from "./format.js";
import { drawSky } from "./sky.js";
import { eventTable, fullName, listSection, newestEvents, noEvents, noLists, pairList, visitList } from "./view.js";

/** Between two rounds [ms]: a retraction must be seen within seconds, and an unchanged answer costs 200 bytes. */
const ROUND_MS = 5000;

/** Longest wait while the service does not answer [ms]. */
const LONGEST_WAIT_MS = 60000;

/** Between two looks at the totals [ms]: they count the whole graph. */
const TOTALS_MS = 60000;

/** Between news and the look at it [ms]: what is told together is looked at once. */
const NEWS_MS = 150;

/** What the stream of news tells of. */
const NEWS = ["joint-event", "retraction", "list", "reset"];

/** Time allowed for one answer [ms]. */
const PATIENCE_MS = 20000;

const EVENTS_SHOWN = 25;
const EVENTS_IN_BRIEF = 6;
const TARGETS_SHOWN = 10;

const byId = (id) => document.getElementById(id);
const known = new Map();
const lists = new Map();
let events = [];
let failures = 0;
let updatedAt = null;
let totalsAt = -Infinity;
let timer = 0;
let busy = false;
let hasNews = false;
let stream = null;

/** Ask for a path; null when nothing has changed since the last time. */
async function ask(path, conditional = true) {
  const tag = conditional ? known.get(path) : undefined;
  const answer = await fetch(path, {
    cache: "no-store", headers: tag ? { "If-None-Match": tag } : {}, signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (answer.status === 304) return null;
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `The service answered ${answer.status}.`);
  }
  const body = await answer.json();
  if (conditional) known.set(path, answer.headers.get("ETag"));
  return body;
}

/** Replace the content of a place, keeping opened details and the focus. */
function replace(place, ...content) {
  const opened = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  const focused = place.contains(document.activeElement) ? document.activeElement.closest("details")?.dataset.key : undefined;
  place.replaceChildren(...content);
  for (const details of place.querySelectorAll("details")) {
    if (details.dataset.event) details.addEventListener("toggle", () => showMore(details));
    if (opened.has(details.dataset.key)) details.open = true;
    if (focused !== undefined && details.dataset.key === focused) details.querySelector("summary").focus({ preventScroll: true });
  }
}

/** What may be opened below an event: what of it is asked for, and how the answer is shown. */
const MORE = {
  pairs: ["candidates?state=open&limit=20", pairList],
  visits: ["visits?limit=20", visitList],
};

async function showMore(details) {
  if (!details.open || details.dataset.loaded) return;
  details.dataset.loaded = "yes";
  try {
    const [wanted, show] = MORE[details.dataset.more];
    details.append(show(await ask(`/api/v1/events/${encodeURIComponent(details.dataset.event)}/${wanted}`, false)));
  } catch {
    delete details.dataset.loaded;
    details.open = false;
  }
}

async function refreshEvents() {
  const body = await ask(`/api/v1/events?limit=${EVENTS_SHOWN}`);
  if (body === null) return false;
  events = body.items;
  replace(byId("event-table"), events.length > 0 ? eventTable(events, Date.now()) : noEvents());
  byId("newest").replaceChildren(...(events.length > 0 ? [newestEvents(events.slice(0, EVENTS_IN_BRIEF), Date.now())] : []));
  return true;
}

async function refreshLists() {
  const summaries = await ask("/api/v1/lists");
  let changed = false;
  if (summaries !== null) {
    const current = new Set(summaries.items.map((one) => one.case));
    for (const name of lists.keys()) if (!current.has(name)) lists.delete(name);
    for (const name of current) if (!lists.has(name)) { lists.set(name, null); known.delete(listPath(name)); }
    changed = true;
  }
  for (const name of [...lists.keys()].sort()) {
    const body = await ask(listPath(name));
    if (body !== null) { lists.set(name, body); changed = true; }
  }
  if (!changed) return false;
  const shown = [...lists.keys()].sort().map((name) => lists.get(name)).filter(Boolean);
  replace(byId("list-tables"), ...(shown.length > 0 ? shown.map(listSection) : [noLists()]));
  return true;
}

const listPath = (name) => `/api/v1/lists/${encodeURIComponent(name)}?limit=${TARGETS_SHOWN}`;

async function refreshTotals() {
  if (performance.now() - totalsAt < TOTALS_MS) return;
  totalsAt = performance.now();
  const body = await ask("/api/v1/counts");
  if (body === null) return;
  const count = (value) => (value ?? 0).toLocaleString("en-GB");
  byId("totals").textContent = `${count(body.nodes.Object)} objects, ${count(body.nodes.Event)} events, ${count(body.coincidences.open)} open coincidences`;
}

function redrawSky() {
  const places = events
    .filter(({ localization: where }) => where && where.ra_deg !== null && where.dec_deg !== null)
    .map((event) => ({
      ra: event.localization.ra_deg, dec: event.localization.dec_deg, radius: event.localization.error_radius_deg,
      name: fullName(event), gone: event.state === "retracted",
    }));
  const targets = [...lists.values()].filter(Boolean).flatMap((list) => list.targets).map(({ ra_deg: ra, dec_deg: dec }) => ({ ra, dec }));
  const canvas = byId("sky");
  drawSky(canvas, places, targets);
  canvas.setAttribute("aria-label", `All-sky map with ${places.length} events and ${targets.length} targets; the tables below hold the same positions.`);
  const missing = events.length - places.length;
  byId("not-drawn").textContent = missing === 0 ? "" : `Not drawn: ${missing} ${missing === 1 ? "event" : "events"} without a central position.`;
}

async function round() {
  if (busy) return;
  busy = true;
  hasNews = false;
  try {
    const changed = [await refreshEvents(), await refreshLists()];
    await refreshTotals();
    for (const one of document.querySelectorAll("[data-time]")) one.textContent = formatAge(one.dataset.time, Date.now());
    failures = 0;
    updatedAt = new Date();
    byId("problem").hidden = true;
    if (changed.some(Boolean)) {
      redrawSky();
      byId("status").textContent = `Changed at ${updatedAt.toISOString().slice(11, 19)} UTC; this page follows by itself.`;
    }
  } catch (error) {
    failures += 1;
    known.clear(); // what was fetched before the failure has not been drawn
    const wait = Math.min(LONGEST_WAIT_MS, ROUND_MS * 2 ** failures);
    const since = updatedAt === null ? "" : ` What is shown is of ${updatedAt.toISOString().slice(11, 19)} UTC.`;
    const reason = error instanceof TypeError || error.name === "TimeoutError" ? "The service does not answer." : error.message;
    byId("problem").textContent = `${reason}${since} Next try in ${Math.round(wait / 1000)} s.`;
    byId("problem").hidden = false;
  } finally {
    busy = false;
  }
  const wait = failures === 0 ? ROUND_MS : Math.min(LONGEST_WAIT_MS, ROUND_MS * 2 ** failures);
  schedule(hasNews && failures === 0 ? NEWS_MS : wait);
}

function schedule(wait) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(round, wait);
}

/** Look soon, once for all that is told meanwhile; a look that is under way is followed by another. */
function heed() {
  if (hasNews || failures > 0) return;
  hasNews = true;
  if (!busy) schedule(NEWS_MS);
}

/** Listen to the news while the page is seen: a browser has few lines to one service, and hidden pages need none. */
function listen() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (stream === null && "EventSource" in globalThis) {
    stream = new EventSource("/api/v1/stream");
    for (const kind of NEWS) stream.addEventListener(kind, heed);
  }
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme").setAttribute("aria-pressed", String(name === "red"));
  try { localStorage.setItem("heliograph-theme", name); } catch { /* private windows keep nothing */ }
  redrawSky();
}

function savedTheme() {
  try { return localStorage.getItem("heliograph-theme") === "red" ? "red" : "dark"; } catch { return "dark"; }
}

byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "red" ? "dark" : "red"));
document.addEventListener("visibilitychange", () => { listen(); schedule(0); });
window.addEventListener("resize", redrawSky);
setTheme(savedTheme());
round();
listen();
