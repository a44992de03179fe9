// Numbers as astronomers write them. Pure functions: nothing here touches the page.

/** What is shown where nothing is known. */
export const ABSENT = "–";

/** One Julian year [s]; IAU definition. */
export const YEAR_S = 31557600;

/** One day [s]. */
export const DAY_S = 86400;

const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** Whether a value is a number that can be shown. */
export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** A number with a fixed number of decimals and a real minus sign. */
export function formatFixed(value, decimals) {
  return isNumber(value) ? value.toFixed(decimals).replace("-", "−") : ABSENT;
}

/** Two significant digits; powers of ten outside 0.001 to 100,000. */
export function formatNumber(value, digits = 2) {
  if (!isNumber(value)) return ABSENT;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) {
    const rounded = Number(value.toPrecision(digits));
    return rounded.toLocaleString("en-GB", { maximumSignificantDigits: Math.max(digits, size >= 1 ? 3 : digits) }).replace("-", "−");
  }
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const raised = [...exponent.replace("+", "")].map((sign) => SUPERSCRIPTS[sign]).join("");
  return `${mantissa.replace("-", "−")}×10${raised}`;
}

/** What a term was computed from: seven digits, enough for an MJD; long identifiers lose their end. */
export function formatInput(value) {
  if (!isNumber(value)) {
    const text = String(value ?? ABSENT);
    return text.length > 20 ? `${text.slice(0, 10)}…` : text;
  }
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7)) return formatNumber(value, 3);
  return value.toLocaleString("en-GB", { maximumSignificantDigits: 7, useGrouping: false }).replace("-", "−");
}

/** Degrees to "±dd:mm:ss.s" or "hh:mm:ss.ss", rounded before it is cut so that 60 never shows. */
function sexagesimal(units, decimals, wrap) {
  const scale = 10 ** decimals;
  let ticks = Math.round(Math.abs(units) * 3600 * scale);
  if (wrap) ticks %= wrap * 3600 * scale;
  const seconds = ticks / scale;
  const whole = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds - whole * 3600) / 60);
  const rest = (ticks - (whole * 3600 + minutes * 60) * scale) / scale;
  const pad = (value) => String(value).padStart(2, "0");
  return `${pad(whole)}:${pad(minutes)}:${rest.toFixed(decimals).padStart(decimals + 3, "0")}`;
}

/** Right ascension [deg] as hh:mm:ss.ss. */
export function formatRa(raDeg) {
  if (!isNumber(raDeg)) return ABSENT;
  return sexagesimal((((raDeg % 360) + 360) % 360) / 15, 2, 24);
}

/** Declination [deg] as ±dd:mm:ss.s. */
export function formatDec(decDeg) {
  if (!isNumber(decDeg)) return ABSENT;
  return (decDeg < 0 ? "−" : "+") + sexagesimal(decDeg, 1, 0);
}

/** An angle [deg] in the unit that suits it. */
export function formatAngle(deg) {
  if (!isNumber(deg)) return ABSENT;
  if (deg >= 1) return `${formatNumber(deg)}°`;
  return deg * 60 >= 1 ? `${formatNumber(deg * 60)}′` : `${formatNumber(deg * 3600)}″`;
}

/** An area [deg²] in the unit that suits it. */
export function formatArea(deg2) {
  if (!isNumber(deg2)) return ABSENT;
  if (deg2 >= 0.1) return `${formatNumber(deg2, 3)} deg²`;
  return deg2 * 3600 >= 0.1 ? `${formatNumber(deg2 * 3600)} arcmin²` : `${formatNumber(deg2 * 3600 * 3600)} arcsec²`;
}

/** A rate [Hz] as "1 per N yr", or per day where it is frequent. */
export function formatRate(hz) {
  if (!isNumber(hz)) return ABSENT;
  if (hz <= 0) return "never";
  const years = 1 / (hz * YEAR_S);
  if (years >= 1) return `1 per ${formatNumber(years)} yr`;
  const days = 1 / (hz * DAY_S);
  return days >= 1 ? `1 per ${formatNumber(days)} d` : `${formatNumber(1 / days)} per d`;
}

/** A probability: percent between 0.1 and 99.9, a plain number elsewhere. */
export function formatProbability(probability) {
  if (!isNumber(probability)) return ABSENT;
  if (probability > 0.999 && probability < 1) return ">99.9 %";
  if (probability >= 0.001 || probability === 0) return `${formatNumber(probability * 100, 3)} %`;
  return formatNumber(probability);
}

/** A signed time difference [s]. */
export function formatDelay(seconds) {
  if (!isNumber(seconds)) return ABSENT;
  const sign = seconds < 0 ? "−" : "+";
  const size = Math.abs(seconds);
  if (size < 120) return `${sign}${formatNumber(size)} s`;
  if (size < 2 * 3600) return `${sign}${formatNumber(size / 60)} min`;
  if (size < 2 * DAY_S) return `${sign}${formatNumber(size / 3600, 3)} h`;
  return `${sign}${formatNumber(size / DAY_S, 3)} d`;
}

/** An ISO time to the second, with a blank instead of T. */
export function formatTime(iso) {
  if (typeof iso !== "string" || Number.isNaN(Date.parse(iso))) return ABSENT;
  return new Date(iso).toISOString().slice(0, 19).replace("T", " ");
}

/** How long ago an ISO time was. */
export function formatAge(iso, nowMs) {
  const seconds = (nowMs - Date.parse(iso)) / 1000;
  if (!Number.isFinite(seconds)) return "";
  const size = Math.abs(seconds);
  const [value, unit] =
    size < 120 ? [size, "s"] : size < 7200 ? [size / 60, "min"] : size < 172800 ? [size / 3600, "h"]
    : size < 2 * YEAR_S ? [size / DAY_S, "d"] : [size / YEAR_S, "yr"];
  return seconds < 0 ? `in ${Math.round(value)} ${unit}` : `${Math.round(value)} ${unit} ago`;
}

/** A magnitude. */
export function formatMag(mag) {
  return formatFixed(mag, 2);
}

/** The most probable class of an event, or an empty text. */
export function topClass(classification) {
  const entries = Object.entries(classification ?? {}).filter(([, value]) => isNumber(value));
  if (entries.length === 0) return "";
  const [name, probability] = entries.reduce((best, one) => (one[1] > best[1] ? one : best));
  return `${name} ${formatProbability(probability)}`;
}
