/** How often something may happen, as Celery writes it: `100/m`, `10/s`, `5/h`, a number per second. Pure. */

/** As it is written, in options and settings; 0 and '' are no limit. */
export type RateLimit = string | number;

export const rateLimitRule = "a rate such as '100/m', '10/s' or '5/h', a number per second, or 0 for no limit";

const secondsIn: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
const form = /^\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:\/\s*([smh]?)\s*)?$/;

/** How many in a second, 0 for no limit; null when the value is no rate. */
export function perSecond(limit: unknown): number | null {
  if (typeof limit === 'number') return Number.isFinite(limit) && limit >= 0 ? limit : null;
  if (typeof limit !== 'string') return null;
  if (limit === '') return 0;
  const [, count, unit] = form.exec(limit) ?? [];
  return count === undefined ? null : Number(count) / (secondsIn[unit === undefined || unit === '' ? 's' : unit] ?? 1);
}
