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

/** A table that stays a table for screen readers when it is shown as cards. */
function table(caption, columns, rows) {
  const heads = columns.map(({ name, kind }) => make("th", { scope: "col", role: "columnheader", class: kind }, name));
  const body = rows.map(({ cells, gone }) =>
    make("tr", { role: "row", class: gone ? "gone" : null }, ...cells.map((content, place) => {
      const { name, kind } = columns[place];
      const isHead = place === 0;
      const attributes = { role: isHead ? "rowheader" : "cell", scope: isHead ? "row" : null, class: kind, "data-label": name };
      return make(isHead ? "th" : "td", attributes, ...content);
    })));
  return make("div", { class: "wide", role: "region", "aria-label": caption, tabindex: "0" },
    make("table", { role: "table", "aria-label": caption },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads)),
      make("tbody", { role: "rowgroup" }, ...body)));
}

function position(raDeg, decDeg) {
  if (!f.isNumber(raDeg) || !f.isNumber(decDeg)) return [make("span", {}, f.ABSENT)];
  return [
    make("span", { class: "sexagesimal" }, `${f.formatRa(raDeg)} ${f.formatDec(decDeg)}`),
    small(`${raDeg.toFixed(5)}°, ${decDeg >= 0 ? "+" : "−"}${Math.abs(decDeg).toFixed(5)}°`, "right ascension and declination, ICRS"),
  ];
}

function rate(hz) {
  return withTitle(f.formatRate(hz), f.isNumber(hz) ? `${hz.toExponential(3)} Hz` : "not known");
}

function terms(score, list, key) {
  const entries = list.flatMap(({ name, value, inputs }) => {
    const from = Object.entries(inputs ?? {}).map(([input, held]) => `${input} ${f.isNumber(held) ? f.formatNumber(held, 3) : held ?? f.ABSENT}`);
    return [
      make("dt", {}, name), make("dd", {}, f.isNumber(value) ? value.toFixed(2) : f.ABSENT),
      from.length > 0 ? make("dd", { class: "inputs" }, from.join(", ")) : null,
    ];
  });
  const hint = list.map(({ name, value }) => `${name} ${f.isNumber(value) ? value.toFixed(2) : f.ABSENT}`).join(" + ");
  return make("details", { "data-key": key },
    make("summary", { title: `${hint || "no terms"} (natural logarithms)` }, f.isNumber(score) ? score.toFixed(2) : f.ABSENT),
    make("dl", { class: "terms" }, ...entries));
}

const LIST_COLUMNS = [
  { name: "Rank", kind: "number" }, { name: "Object" }, { name: "Position" }, { name: "Score", kind: "number" },
  { name: "Class" }, { name: "Mag", kind: "number" }, { name: "Chance" }, { name: "Event" },
];

function targetRow(target) {
  const gone = target.event_state === "retracted";
  return {
    gone,
    cells: [
      [make("span", {}, String(target.rank))],
      [link(apiPath("objects", target.survey, target.object_id), target.object_id), small(target.survey.toUpperCase())],
      position(target.ra_deg, target.dec_deg),
      [terms(target.score, target.terms, `score ${target.target_key}`)],
      [make("span", {}, target.top_class ?? f.ABSENT), target.top_class ? small(f.formatProbability(target.class_probability), "calibrated probability") : null],
      [withTitle(f.formatMag(target.latest_mag), "AB, newest positive detection")],
      [withTitle(f.formatProbability(target.p_chance), "probability of an unrelated object as good as this one"),
        make("small", {}, rate(target.joint_far_hz))],
      target.event_key === null ? [make("span", {}, f.ABSENT)]
        : [link(apiPath("events", target.event_key), target.event_key), gone ? badge("retracted", "retracted") : null],
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
  { name: "Event" }, { name: "Trigger (UTC)" }, { name: "State" }, { name: "Position" }, { name: "90 % area" },
  { name: "Significance" }, { name: "Coincidences" },
];

function eventRow(event, nowMs) {
  const where = event.localization;
  const kind = [event.instrument, event.notice_type].filter(Boolean).join(" ");
  const radius = where && f.isNumber(where.error_radius_deg) ? small(`± ${f.formatAngle(where.error_radius_deg)}`,
    `stated radius, ${f.formatProbability(where.containment_probability)} containment`) : null;
  const best = topLine(event);
  const n = event.n_open_coincidences;
  return {
    gone: event.state === "retracted",
    cells: [
      [link(apiPath("events", event.event_key), `${event.mission} ${event.event_names[0] ?? event.event_id}`), small(`${event.messenger} ${kind}`)],
      [withTitle(f.formatTime(event.trigger_time), event.trigger_time ? `${event.trigger_time}, MJD ${event.trigger_mjd_tai} (TAI)` : "no trigger time"),
        event.trigger_time ? make("small", { "data-time": event.trigger_time }, f.formatAge(event.trigger_time, nowMs)) : null],
      [badge(event.state, event.state), event.alert_tense === "current" ? null : badge(event.alert_tense, "other"),
        small(`revision ${event.revision}`, "number of distinct notices")],
      where ? [...position(where.ra_deg, where.dec_deg), radius] : [make("span", {}, "time only")],
      [withTitle(f.formatArea(where?.area_90_deg2), "smallest region that holds 90 % of the probability")],
      [make("span", {}, "FAR ", rate(event.far_hz)),
        f.isNumber(event.p_astro) ? small(`astrophysical ${f.formatProbability(event.p_astro)}`, `p_astro ${event.p_astro}`) : null,
        best ? small(best) : null],
      [n === 0 ? make("span", {}, "none")
        : make("details", { "data-key": `pairs ${event.event_key}`, "data-event": event.event_key }, make("summary", {}, `${n} open`))],
    ],
  };
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
export function pairList(items) {
  return make("ul", { class: "pairs" }, ...items.map(({ coincidence, object }) => make("li", {},
    link(apiPath("objects", object.survey, object.object_id), object.object_id),
    ` ${f.formatDelay(coincidence.delta_t_s)}, level ${f.formatNumber(coincidence.credible_level)}, `, rate(coincidence.joint_far_hz))));
}
