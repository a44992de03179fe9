// The all-sky map: Mollweide projection, ICRS, right ascension increasing to the left.

const RAD = Math.PI / 180;

/** Right ascension in the middle of the map [deg]: 12h, so that the map does not break at the ends of the tables. */
export const CENTRE_RA_DEG = 180;

/** North pole and zero point of Galactic coordinates in ICRS [deg]; Reid & Brunthaler 2004, from Hipparcos. */
const POLE_RA_DEG = 192.85948;
const POLE_DEC_DEG = 27.12825;
const NODE_L_DEG = 32.93192;

/** Space around the map [px]: strokes and the labels of declination reach over its edge. */
const MARGIN_PX = 6;

/** Narrowest map that carries the names of events [px]; on a phone they would hide the sky. */
const NAMES_FROM_PX = 480;

/** Longest name on the map; the rest is in the table. */
const NAME_CHARACTERS = 18;

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";

/** The auxiliary angle of the projection [rad]. */
function auxiliary(decDeg) {
  const wanted = Math.PI * Math.sin(decDeg * RAD);
  let theta = decDeg * RAD;
  // Newton's method converges slowly at the poles only, where the answer is known.
  if (Math.abs(Math.abs(decDeg) - 90) > 1e-9) {
    for (let step = 0; step < 30; step += 1) {
      const change = (2 * theta + Math.sin(2 * theta) - wanted) / (2 + 2 * Math.cos(2 * theta));
      theta -= change;
      if (Math.abs(change) < 1e-9) break;
    }
  }
  return theta;
}

/** Project a position [deg] whose right ascension may lie over the edge of the map. */
function unbounded(raDeg, decDeg) {
  const theta = auxiliary(decDeg);
  return { x: ((-2 * (raDeg - CENTRE_RA_DEG) * RAD) / Math.PI) * Math.cos(theta), y: Math.sin(theta) };
}

/** Project a position [deg] to x in [-2, 2] (east is left) and y in [-1, 1] (north is up). */
export function mollweide(raDeg, decDeg) {
  return unbounded(((raDeg % 360) + 360) % 360, decDeg);
}

/** The position [deg] at an angle and bearing from another: a point of a circle on the sphere. */
export function offset(raDeg, decDeg, radiusDeg, bearingDeg) {
  const dec = decDeg * RAD;
  const radius = radiusDeg * RAD;
  const bearing = bearingDeg * RAD;
  const sinDec = Math.sin(dec) * Math.cos(radius) + Math.cos(dec) * Math.sin(radius) * Math.cos(bearing);
  const east = Math.sin(bearing) * Math.sin(radius) * Math.cos(dec);
  const north = Math.cos(radius) - Math.sin(dec) * sinDec;
  return { ra: (((raDeg + Math.atan2(east, north) / RAD) % 360) + 360) % 360, dec: Math.asin(Math.max(-1, Math.min(1, sinDec))) / RAD };
}

/** ICRS position [deg] of a Galactic longitude on the plane. */
export function galacticPlane(longitudeDeg) {
  const angle = (longitudeDeg - NODE_L_DEG) * RAD;
  const pole = POLE_DEC_DEG * RAD;
  const dec = Math.asin(Math.cos(pole) * Math.sin(angle));
  const ra = Math.atan2(Math.cos(angle), -Math.sin(pole) * Math.sin(angle));
  return { ra: (((ra / RAD + POLE_RA_DEG) % 360) + 360) % 360, dec: dec / RAD };
}

/** Let right ascension run on over 0h, so that neighbours on the sky stay neighbours. */
export function continuous(points) {
  let last = null;
  return points.map(({ ra, dec }) => {
    const next = last === null ? ra : last + ((((ra - last + 180) % 360) + 360) % 360) - 180;
    last = next;
    return { ra: next, dec };
  });
}

/** The edge of a circle, and the corners that close it at a pole if it holds one. */
export function circle(raDeg, decDeg, radiusDeg) {
  const edge = continuous(range(0, 360, 2).map((bearing) => offset(raDeg, decDeg, radiusDeg, bearing)));
  const first = edge[0].ra;
  const last = edge[edge.length - 1].ra;
  if (Math.abs(last - first) < 180) return { edge, corners: [] };
  const dec = decDeg > 0 ? 90 : -90;
  return { edge, corners: [{ ra: last, dec }, { ra: first, dec }] };
}

function range(from, to, step) {
  return Array.from({ length: Math.round((to - from) / step) + 1 }, (_, k) => from + k * step);
}

/** A canvas with the projection, the colours of the page and a pen. */
class Sheet {
  constructor(canvas, context) {
    const ratio = window.devicePixelRatio || 1;
    this.width = Math.max(280, canvas.clientWidth);
    this.half = this.width / 4 - MARGIN_PX;
    this.context = context;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round((this.width / 2) * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const palette = getComputedStyle(document.documentElement);
    this.colour = (name) => palette.getPropertyValue(name).trim();
  }

  place({ x, y }) {
    return [this.width / 2 + x * this.half, this.width / 4 - y * this.half];
  }

  /** Let the pen follow points; what runs over one edge comes back at the other. */
  trace(points, shifts = [-360, 0, 360]) {
    this.context.beginPath();
    for (const shift of shifts) {
      points.forEach(({ ra, dec }, k) => {
        const [x, y] = this.place(unbounded(ra + shift, dec));
        if (k === 0) this.context.moveTo(x, y);
        else this.context.lineTo(x, y);
      });
    }
  }

  stroke(colour, lineWidth, dash = []) {
    this.context.strokeStyle = colour;
    this.context.lineWidth = lineWidth;
    this.context.setLineDash(dash);
    this.context.stroke();
    this.context.setLineDash([]);
  }

  fill(colour, opacity = 1) {
    this.context.globalAlpha = opacity;
    this.context.fillStyle = colour;
    this.context.fill();
    this.context.globalAlpha = 1;
  }

  /** Write with a border of the ground, so that lines below do not disturb. */
  write(text, x, y, colour, align = "left") {
    this.context.textAlign = align;
    this.context.textBaseline = "middle";
    this.context.lineJoin = "round";
    this.context.strokeStyle = this.colour("--panel");
    this.context.lineWidth = 4;
    this.context.strokeText(text, x, y);
    this.context.fillStyle = colour;
    this.context.fillText(text, x, y);
  }

  sphere() {
    this.context.beginPath();
    this.context.ellipse(this.width / 2, this.width / 4, 2 * this.half, this.half, 0, 0, 2 * Math.PI);
  }
}

function drawGrid(sheet) {
  const line = sheet.colour("--line");
  for (const dec of range(-60, 60, 30)) {
    sheet.trace([{ ra: 0, dec }, { ra: 360, dec }], [0]);
    sheet.stroke(line, dec === 0 ? 1 : 0.6);
  }
  for (const ra of range(30, 330, 30)) {
    sheet.trace(range(-90, 90, 3).map((dec) => ({ ra, dec })), [0]);
    sheet.stroke(line, 0.6);
  }
  sheet.trace(continuous(range(0, 360, 2).map(galacticPlane)));
  sheet.stroke(sheet.colour("--muted"), 1, [2, 4]);
}

function writeGrid(sheet) {
  const muted = sheet.colour("--muted");
  sheet.context.font = `${sheet.width < NAMES_FROM_PX ? 10 : 11}px ${FONT}`;
  for (const hour of sheet.width < NAMES_FROM_PX ? [6, 12, 18] : [4, 8, 12, 16, 20]) {
    const [x, y] = sheet.place(unbounded(hour * 15, 0));
    sheet.write(`${hour}ʰ`, x, y, muted, "center");
  }
  for (const dec of [-60, -30, 30, 60]) {
    const [x, y] = sheet.place(unbounded(360, dec));
    const text = `${dec < 0 ? "−" : "+"}${Math.abs(dec)}°`;
    if (x - 8 - sheet.context.measureText(text).width > 0) sheet.write(text, x - 8, y, muted, "right");
  }
}

function drawRegion(sheet, { ra, dec, radius, gone }) {
  if (!(radius > 0.5 && radius < 90)) return;
  const style = sheet.colour(gone ? "--muted" : "--event");
  const { edge, corners } = circle(ra, dec, radius);
  sheet.trace([...edge, ...corners]);
  sheet.fill(style, gone ? 0.06 : 0.14);
  sheet.trace(edge);
  sheet.stroke(style, 1.2, gone ? [3, 3] : []);
}

function drawTarget(sheet, [x, y]) {
  sheet.context.beginPath();
  [[0, -5], [4, 0], [0, 5], [-4, 0]].forEach(([dx, dy]) => sheet.context.lineTo(x + dx, y + dy));
  sheet.context.closePath();
  sheet.stroke(sheet.colour("--panel"), 1.5);
  sheet.fill(sheet.colour("--target"));
}

/** Name the events where there is room, the newest first. */
function writeNames(sheet, events, taken) {
  if (sheet.width < NAMES_FROM_PX) return;
  sheet.context.font = `12px ${FONT}`;
  const free = (box) => box[0] > 2 && box[2] < sheet.width - 2 && box[1] > 2 && box[3] < sheet.width / 2 - 2
    && taken.every((one) => box[2] < one[0] || box[0] > one[2] || box[3] < one[1] || box[1] > one[3]);
  for (const { ra, dec, name, gone } of events) {
    const text = name.length > NAME_CHARACTERS ? `${name.slice(0, NAME_CHARACTERS - 1)}…` : name;
    const [x, y] = sheet.place(mollweide(ra, dec));
    const size = sheet.context.measureText(text).width;
    const corners = [[x + 9, y], [x - 9 - size, y], [x - size / 2, y - 16], [x - size / 2, y + 16], [x + 6, y - 13], [x + 6, y + 13], [x - 6 - size, y - 13], [x - 6 - size, y + 13]];
    const box = corners.map(([left, middle]) => [left, middle - 7, left + size, middle + 7]).find(free);
    if (box === undefined) continue;
    taken.push(box);
    sheet.write(text, box[0], box[1] + 7, sheet.colour(gone ? "--muted" : "--event"));
  }
}

/** Draw the map. Events are { ra, dec, radius, name, gone }, newest first, targets { ra, dec }, all in degrees. */
export function drawSky(canvas, events, targets) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const sheet = new Sheet(canvas, context);
  context.clearRect(0, 0, sheet.width, sheet.width / 2);
  sheet.sphere();
  sheet.fill(sheet.colour("--panel"));
  context.save();
  context.clip();
  drawGrid(sheet);
  for (const event of events) drawRegion(sheet, event);
  context.restore();
  sheet.sphere();
  sheet.stroke(sheet.colour("--line"), 1.5);
  writeGrid(sheet);
  const pointed = targets.map(({ ra, dec }) => sheet.place(mollweide(ra, dec)));
  const happened = events.map(({ ra, dec }) => sheet.place(mollweide(ra, dec)));
  for (const point of pointed) drawTarget(sheet, point);
  happened.forEach(([x, y], k) => {
    context.beginPath();
    context.arc(x, y, 6, 0, 2 * Math.PI);
    sheet.stroke(sheet.colour(events[k].gone ? "--muted" : "--event"), 1.8, events[k].gone ? [2, 2] : []);
  });
  writeNames(sheet, events, [...pointed, ...happened].map(([x, y]) => [x - 6, y - 6, x + 6, y + 6]));
}
