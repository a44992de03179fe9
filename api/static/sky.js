// The all-sky map: Mollweide projection, ICRS, right ascension increasing to the left.

const RAD = Math.PI / 180;

/** Right ascension in the middle of the map [deg]: 12h, so that the map does not break at the ends of the tables. */
export const CENTRE_RA_DEG = 180;

/** North pole and zero point of Galactic coordinates in ICRS [deg]; Reid & Brunthaler 2004, from Hipparcos. */
const POLE_RA_DEG = 192.85948;
const POLE_DEC_DEG = 27.12825;
const NODE_L_DEG = 32.93192;

/** Project a position [deg] to x in [-2, 2] (east is left) and y in [-1, 1] (north is up). */
export function mollweide(raDeg, decDeg) {
  const lambda = ((((raDeg - CENTRE_RA_DEG + 180) % 360) + 360) % 360 - 180) * RAD;
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
  return { x: ((-2 * lambda) / Math.PI) * Math.cos(theta), y: Math.sin(theta) };
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

/** Draw the map. Events are { ra, dec, radius, gone }, targets { ra, dec }, all in degrees. */
export function drawSky(canvas, events, targets) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(280, canvas.clientWidth);
  canvas.width = width * ratio;
  canvas.height = (width / 2) * ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const palette = getComputedStyle(document.documentElement);
  const colour = (name) => palette.getPropertyValue(name).trim();
  const half = width / 4 - 4;
  const place = (ra, dec) => {
    const { x, y } = mollweide(ra, dec);
    return [width / 2 + x * half, width / 4 - y * half];
  };
  const path = (points, style, lineWidth, dash = []) => {
    context.beginPath();
    context.strokeStyle = style;
    context.lineWidth = lineWidth;
    context.setLineDash(dash);
    let last = null;
    for (const [x, y] of points) {
      // A line that leaves one edge comes back at the other: lift the pen.
      if (last === null || Math.abs(x - last) > half) context.moveTo(x, y);
      else context.lineTo(x, y);
      last = x;
    }
    context.stroke();
    context.setLineDash([]);
  };
  const range = (from, to, step) => Array.from({ length: Math.round((to - from) / step) + 1 }, (_, k) => from + k * step);

  context.clearRect(0, 0, width, width / 2);
  context.beginPath();
  context.ellipse(width / 2, width / 4, 2 * half, half, 0, 0, 2 * Math.PI);
  context.fillStyle = colour("--panel");
  context.fill();
  context.strokeStyle = colour("--line");
  context.lineWidth = 1.5;
  context.stroke();
  for (const dec of range(-60, 60, 30)) path(range(0.01, 359.99, 359.98 / 90).map((ra) => place(ra, dec)), colour("--line"), 0.7);
  for (const ra of range(30, 330, 30)) path(range(-90, 90, 3).map((dec) => place(ra, dec)), colour("--line"), 0.7);
  path(range(0, 360, 2).map(galacticPlane).map(({ ra, dec }) => place(ra, dec)), colour("--muted"), 1, [2, 4]);

  for (const { ra, dec, radius, gone } of events) {
    const style = colour(gone ? "--muted" : "--event");
    const [x, y] = place(ra, dec);
    if (radius > 0.5 && radius < 90) {
      const edge = range(0, 360, 4).map((bearing) => offset(ra, dec, radius, bearing));
      path(edge.map((one) => place(one.ra, one.dec)), style, 1.2);
    }
    context.beginPath();
    context.arc(x, y, 3.5, 0, 2 * Math.PI);
    context.strokeStyle = style;
    context.lineWidth = 2;
    context.stroke();
  }
  context.fillStyle = colour("--target");
  for (const { ra, dec } of targets) {
    const [x, y] = place(ra, dec);
    context.beginPath();
    context.moveTo(x, y - 5);
    context.lineTo(x + 4, y);
    context.lineTo(x, y + 5);
    context.lineTo(x - 4, y);
    context.fill();
  }
}
