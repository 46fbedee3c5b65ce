/**
 * Points in time as ISO-8601 text, read in every form a Celery client has ever sent and written in the one form that every
 * version reads right: six fraction digits and `+00:00`.
 *
 * Times are unix milliseconds; a fraction keeps the microseconds.
 * Source: protocol notes, messages.md §6.
 */

const pattern =
  /^(\d{4})-?(\d{2})-?(\d{2})(?:[Tt ](\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?\s*(?:([Zz])|([+-])(\d{2})(?::?(\d{2}))?)?)?$/;

export interface ParseIsoTimeOptions {
  /** Text without an offset is UTC (default) or, when false, local time of this process (protocol 1 with `utc: false`). */
  readonly utc?: boolean;
}

/** Unix ms, or null when the text is not a point in time. */
export function parseIsoTime(text: string, options?: ParseIsoTimeOptions): number | null {
  const match = pattern.exec(text);
  if (match === null) return null;
  const year = Number(match[1]);
  const month = Number(match[2]);
  const day = Number(match[3]);
  const hour = Number(match[4] ?? 0);
  const minute = Number(match[5] ?? 0);
  const second = Number(match[6] ?? 0);
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return null;
  if (hour > 23 || minute > 59 || second > 59) return null;
  const digits = match[7];
  const fractionMs = digits === undefined ? 0 : Number(digits.slice(0, 6).padEnd(6, '0')) / 1000;

  if (match[8] === undefined && match[9] === undefined && options?.utc === false) {
    const local = new Date(2000, 0, 1, hour, minute, second);
    local.setFullYear(year, month - 1, day);
    return local.getTime() + fractionMs;
  }
  const offsetHours = Number(match[10] ?? 0);
  const offsetMinutes = Number(match[11] ?? 0);
  if (offsetHours > 23 || offsetMinutes > 59) return null;
  const offsetMs = (match[9] === '-' ? -1 : 1) * (offsetHours * 60 + offsetMinutes) * 60_000;
  return utcMs(year, month, day) + ((hour * 60 + minute) * 60 + second) * 1000 - offsetMs + fractionMs;
}

/** `2030-01-02T03:04:05.678000+00:00`. Throws RangeError outside the years 1 to 9999, which Python cannot represent. */
export function formatIsoTime(unixMs: number): string {
  const wholeMs = Math.floor(unixMs);
  const microseconds = wholeMs === unixMs ? 0 : Math.floor((unixMs - wholeMs) * 1000 + 0.5);
  if (microseconds === 1000) return formatIsoTime(wholeMs + 1);
  if (!(wholeMs >= minMs && wholeMs <= maxMs)) throw new RangeError(`a time must lie in the years 1 to 9999, got ${unixMs} ms`);
  const second = Math.floor(wholeMs / 1000);
  if (second !== lastSecond) {
    lastText = new Date(wholeMs).toISOString().slice(0, 20);
    lastSecond = second;
  }
  return `${lastText}${String((wholeMs - second * 1000) * 1000 + microseconds).padStart(6, '0')}+00:00`;
}

/** Most times that are written lie in the same second as the one before; up to its point the text is the same. */
let lastSecond = Number.NaN;
let lastText = '';

const minMs = Date.parse('0001-01-01T00:00:00Z');
const maxMs = Date.parse('9999-12-31T23:59:59.999Z');

/** Date.UTC reads years below 100 as 19xx. */
function utcMs(year: number, month: number, day: number): number {
  return year >= 100 ? Date.UTC(year, month - 1, day) : new Date(0).setUTCFullYear(year, month - 1, day);
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
