// Tables of events and targets. Text from outside only ever becomes text nodes, never markup.

import * as f from "./format.js";

const CASES = {
  grb: "Gamma-ray bursts", gw: "Gravitational waves", neutrino: "Neutrinos", supernova: "Supernovae", unknown: "Unknown",
};

/** Make an element; children are elements or text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const apiPath = (...parts) => ["/api/v1", ...parts.map(encodeURIComponent)].join("/");
const link = (path, text) => make("a", { href: path }, text);
const small = (text, title) => make("small", { title }, text);
const withTitle = (text, title) => make("span", { title }, text);
const badge = (text, kind) => make("span", { class: `badge ${kind}` }, text);

/**
 * A table that stays a table for screen readers when it is shown as cards.
 *
 * A cell is a list of nodes, or null where nothing is known; an optional column that nothing is known of is left out.
 */
function table(caption, columns, rows) {
  const kept = [...columns.keys()].filter((place) => !columns[place].optional || rows.some(({ cells }) => cells[place] !== null));
  const kind = (place) => [`c-${columns[place].key}`, columns[place].number ? "number" : ""].join(" ").trim();
  const heads = kept.map((place) => make("th", { scope: "col", role: "columnheader", class: kind(place), title: columns[place].hint }, columns[place].name));
  const body = rows.map(({ cells, gone }) =>
    make("tr", { role: "row", class: gone ? "gone" : null }, ...kept.map((place) => {
      const isHead = columns[place].isHead === true;
      const attributes = { role: isHead ? "rowheader" : "cell", scope: isHead ? "row" : null, class: kind(place), "data-label": columns[place].name };
      return make(isHead ? "th" : "td", attributes, ...(cells[place] ?? [make("span", { class: "absent" }, f.ABSENT)]));
    })));
  return make("div", { class: "wide", role: "region", "aria-label": caption, tabindex: "0" },
    make("table", { role: "table", "aria-label": caption },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads)),
      make("tbody", { role: "rowgroup" }, ...body)));
}

function position(raDeg, decDeg) {
  if (!f.isNumber(raDeg) || !f.isNumber(decDeg)) return null;
  return [
    make("span", { class: "sexagesimal" }, `${f.formatRa(raDeg)} ${f.formatDec(decDeg)}`),
    small(`${raDeg.toFixed(5)}°, ${decDeg >= 0 ? "+" : "−"}${Math.abs(decDeg).toFixed(5)}°`, "right ascension and declination, ICRS"),
  ];
}

function rate(hz) {
  return withTitle(f.formatRate(hz), f.isNumber(hz) ? `${hz.toExponential(3)} Hz` : "not known");
}

/** The terms of a score in one line: "position 3.00 + delay 2.40 − youth 0.10". */
function sum(list) {
  return list.map(({ name, value }, place) => {
    if (place === 0 || !f.isNumber(value)) return `${place === 0 ? "" : "+ "}${plain(name)} ${f.formatFixed(value, 2)}`;
    return `${value < 0 ? "−" : "+"} ${plain(name)} ${f.formatFixed(Math.abs(value), 2)}`;
  }).join(" ");
}

const plain = (name) => name.replaceAll("_", " ");

function terms(score, list, key) {
  const entries = list.flatMap(({ name, value, inputs }) => {
    const from = Object.entries(inputs ?? {}).map(([input, held]) =>
      make("span", { title: `${input} ${held ?? f.ABSENT}` }, `${input} `, make("b", {}, f.formatInput(held))));
    return [make("dt", {}, plain(name)), make("dd", {}, f.formatFixed(value, 2)), make("dd", { class: "inputs" }, ...from)];
  });
  const why = sum(list) || "no terms";
  return make("details", { class: "why", "data-key": key },
    make("summary", { title: `${why} (natural logarithms)` }, make("span", {}, f.formatFixed(score, 2)), make("small", {}, why)),
    make("dl", { class: "terms" }, ...entries));
}

const LIST_COLUMNS = [
  { key: "rank", name: "Rank", number: true }, { key: "object", name: "Object", isHead: true },
  { key: "position", name: "Position" }, { key: "class", name: "Class" },
  { key: "mag", name: "Mag", number: true, hint: "AB, newest positive detection" },
  { key: "chance", name: "Chance", optional: true, hint: "Probability of an unrelated object as good as this one; joint false-alarm rate" },
  { key: "event", name: "Event", optional: true },
  { key: "score", name: "Score and why", hint: "Sum of its terms, natural logarithms" },
];

function targetRow(target) {
  const gone = target.event_state === "retracted";
  return {
    gone,
    cells: [
      [make("span", {}, String(target.rank))],
      [link(apiPath("objects", target.survey, target.object_id), target.object_id), small(target.survey.toUpperCase())],
      position(target.ra_deg, target.dec_deg),
      target.top_class ? [make("span", {}, target.top_class), small(f.formatProbability(target.class_probability), "calibrated probability")] : null,
      f.isNumber(target.latest_mag) ? [withTitle(f.formatMag(target.latest_mag), "AB, newest positive detection")] : null,
      f.isNumber(target.p_chance) || f.isNumber(target.joint_far_hz)
        ? [withTitle(f.formatProbability(target.p_chance), "probability of an unrelated object as good as this one"), make("small", {}, rate(target.joint_far_hz))]
        : null,
      target.event_key === null ? null
        : [link(apiPath("events", target.event_key), target.event_key), gone ? badge("retracted", "retracted") : null],
      [terms(target.score, target.terms, `score ${target.target_key}`)],
    ],
  };
}

/** The table of one follow-up list under its heading. */
export function listSection({ summary, targets }) {
  const name = CASES[summary.case] ?? summary.case;
  const shown = targets.length < summary.n_targets ? `first ${targets.length} of ${summary.n_targets}` : `${summary.n_targets}`;
  const heading = make("h3", {}, name, make("small", {}, `version ${summary.version}, ${shown} ${summary.n_targets === 1 ? "target" : "targets"}, `,
    link(apiPath("lists", summary.case, summary.version), "all as JSON")));
  if (targets.length === 0) {
    return make("article", {}, heading, make("p", { class: "empty" }, "Nothing to point at: no target of this list stands at the moment."));
  }
  return make("article", {}, heading, table(`${name}: targets`, LIST_COLUMNS, targets.map(targetRow)));
}

/** What is shown instead of lists. */
export function noLists() {
  return make("p", { class: "empty" }, "No follow-up list yet. Lists appear once ", make("code", {}, "heliograph coordinate"),
    " runs and objects have been ingested; ", make("code", {}, "heliograph demo"), " makes a whole night.");
}

const EVENT_COLUMNS = [
  { key: "name", name: "Event", isHead: true }, { key: "trigger", name: "Trigger (UTC)" }, { key: "state", name: "State" },
  { key: "position", name: "Position" }, { key: "area", name: "90 % area", hint: "Smallest region that holds 90 % of the probability" },
  { key: "significance", name: "Significance", hint: "False-alarm rate of the trigger, probability of astrophysical origin, class" },
  { key: "pairs", name: "Coincidences" },
];

/** The name that people use for an event, with its mission. */
export function fullName(event) {
  const name = event.event_names[0] ?? event.event_id;
  return name.startsWith(event.mission) ? name : `${event.mission} ${name}`;
}

function place(where) {
  if (!where) return [make("span", { class: "absent" }, "time only")];
  const centre = position(where.ra_deg, where.dec_deg);
  if (centre === null) return [make("span", {}, where.kind === "skymap" ? "sky map" : f.ABSENT)];
  return centre;
}

function area(where) {
  if (!f.isNumber(where?.area_90_deg2)) return null;
  return [withTitle(f.formatArea(where.area_90_deg2), "smallest region that holds 90 % of the probability"),
    f.isNumber(where.error_radius_deg) ? small(`± ${f.formatAngle(where.error_radius_deg)}`, `stated radius, ${f.formatProbability(where.containment_probability)} containment`) : null];
}

function significance(event) {
  const best = topLine(event);
  const lines = [
    f.isNumber(event.far_hz) ? make("span", {}, "FAR ", rate(event.far_hz)) : null,
    f.isNumber(event.p_astro) ? small(`astrophysical ${f.formatProbability(event.p_astro)}`, `p_astro ${event.p_astro}`) : null,
    best ? small(best) : null,
  ].filter(Boolean);
  return lines.length > 0 ? lines : null;
}

function eventRow(event, nowMs) {
  const kind = [event.messenger, event.instrument === event.mission ? null : event.instrument, event.notice_type];
  const n = event.n_open_coincidences;
  return {
    gone: event.state === "retracted",
    cells: [
      [link(apiPath("events", event.event_key), fullName(event)), small(kind.filter(Boolean).join(" · "))],
      event.trigger_time ? [withTitle(f.formatTime(event.trigger_time), `${event.trigger_time}, MJD ${event.trigger_mjd_tai} (TAI)`),
        make("small", { "data-time": event.trigger_time }, f.formatAge(event.trigger_time, nowMs))] : null,
      [badge(event.state, event.state), event.alert_tense === "current" ? null : badge(event.alert_tense, "other"),
        small(`revision ${event.revision}`, "number of distinct notices")],
      place(event.localization),
      area(event.localization),
      significance(event),
      [n === 0 ? make("span", { class: "absent" }, "none") : more("pairs", event, `${n} open`),
        event.trigger_time && event.localization ? more("visits", event, "who looked") : null],
    ],
  };
}

/** What is asked for once it is opened. */
function more(what, event, summary) {
  const data = { "data-key": `${what} ${event.event_key}`, "data-more": what, "data-event": event.event_key };
  return make("details", data, make("summary", {}, summary));
}

/** The newest events in a few words, beside the map. */
export function newestEvents(events, nowMs) {
  return make("ol", { class: "newest", "aria-label": "Newest events in short" }, ...events.map((event) => {
    const n = event.n_open_coincidences;
    const where = event.localization;
    const size = f.isNumber(where?.area_90_deg2) ? f.formatArea(where.area_90_deg2) : "time only";
    const rest = event.state === "retracted" ? [badge("retracted", "retracted")]
      : [make("span", {}, n === 0 ? size : `${size} · ${n} open`)];
    return make("li", { class: event.state === "retracted" ? "gone" : null },
      link(apiPath("events", event.event_key), fullName(event)),
      make("span", { "data-time": event.trigger_time ?? "" }, f.formatAge(event.trigger_time, nowMs)), ...rest,
      event.alert_tense === "current" ? null : badge(event.alert_tense, "other"));
  }));
}

function topLine(event) {
  return event.is_astrophysical_burst ? f.topClass(event.classification) : "not an astrophysical burst, says the mission";
}

/** The table of events. */
export function eventTable(events, nowMs) {
  return table("Newest events", EVENT_COLUMNS, events.map((event) => eventRow(event, nowMs)));
}

/** What is shown instead of events. */
export function noEvents() {
  return make("p", { class: "empty" }, "No event yet. Start ", make("code", {}, "heliograph listen"),
    " to receive notices from GCN, or ", make("code", {}, "heliograph demo"), " to see a generated night.");
}

/** The objects that coincide with one event. */
export function pairList({ items }) {
  return make("ul", { class: "pairs" }, ...items.map(({ coincidence, object }) => make("li", {},
    link(apiPath("objects", object.survey, object.object_id), object.object_id),
    make("small", {}, withTitle(f.formatDelay(coincidence.delta_t_s), "delay after the trigger"), ", ",
      withTitle(`level ${f.formatNumber(coincidence.credible_level)}`, "credible level: 0 is the most probable place, 1 the edge"), ", ",
      rate(coincidence.joint_far_hz)))));
}

/** The visits that looked at the place of one event. */
export function visitList({ items, searched_probability: searched }) {
  const found = items.length === 0 ? "no visit within a week" : "depth is 5 sigma, AB";
  return make("ul", { class: "pairs" },
    make("li", {}, make("small", {}, `of ${f.formatProbability(searched)} of the probability: ${found}`)),
    ...items.map((visit) => make("li", {},
      withTitle(`${visit.survey.toUpperCase()} ${visit.band} ${f.formatMag(visit.limit_mag)}`, visit.midpoint_time),
      make("small", {}, withTitle(f.formatDelay(visit.delta_t_s), "delay after the trigger"), ", ",
        withTitle(`covers ${f.formatProbability(visit.probability)}`, "probability that the event is where it looked")))));
}
