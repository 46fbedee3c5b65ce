/**
 * Checks of option objects given by task authors: every key known, every value of its kind.
 *
 * A kind returns null when the value fits, or the rule it breaks. Undefined always means "not given". An option of a later
 * version says so instead of being ignored.
 */
import { inspect } from 'node:util';
import { UmbelError } from '../errors.ts';
import { parseIsoTime } from '../protocol/iso-time.ts';
import { maskUrl } from '../std/mask-url.ts';
import { perSecond, rateLimitRule } from '../std/rate-limit.ts';

/** null: fits. Otherwise the rule, to be read after the option's name: "must be a boolean". */
export type OptionKind = (value: unknown) => string | null;

export const aBoolean: OptionKind = (value) => (typeof value === 'boolean' ? null : 'must be a boolean');

export const aFunction: OptionKind = (value) => (typeof value === 'function' ? null : 'must be a function');

export const aName: OptionKind = (value) => (typeof value === 'string' && value !== '' ? null : 'must be a non-empty string');

/** Perhaps an empty one. */
export const aText: OptionKind = (value) => (typeof value === 'string' ? null : 'must be a string');

export const anExchangeType: OptionKind = (value) =>
  ['direct', 'topic', 'fanout', 'headers'].includes(value as string) ? null : 'must be direct, topic, fanout or headers';

export const seconds: OptionKind = (value) =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? null : 'must be a number of seconds, 0 or more';

/** RabbitMQ allows 0 to 255; the other brokers use the part up to 9. */
export const aPriority: OptionKind = (value) =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 255 ? null : 'must be an integer from 0 to 255';

export const aCount: OptionKind = (value) => (Number.isInteger(value) && Number(value) >= 0 ? null : 'must be an integer, 0 or more');

export const aRateLimit: OptionKind = (value) => (perSecond(value) === null ? `must be ${rateLimitRule}` : null);

export const aDeliveryMode: OptionKind = (value) =>
  value === 1 || value === 2 || value === 'transient' || value === 'persistent' ? null : "must be 'persistent' (2) or 'transient' (1)";

/** A Date, or an ISO 8601 text. */
export const aTime: OptionKind = (value) => {
  const fits = value instanceof Date ? !Number.isNaN(value.getTime()) : typeof value === 'string' && parseIsoTime(value) !== null;
  return fits ? null : 'must be a Date or an ISO 8601 text';
};

export const aMap: OptionKind = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? null : 'must be an object';

export const anArray: OptionKind = (value) => (Array.isArray(value) ? null : 'must be an array');

/** Throws TASK_OPTION_INVALID for the first key that is unknown or has a wrong value. `of` names the task and the call. */
export function checkOptions(
  of: string,
  given: Readonly<Record<string, unknown>>,
  kinds: Readonly<Record<string, OptionKind>>,
  notBuiltYet: readonly string[],
): void {
  for (const key of Object.keys(given)) {
    const value = given[key];
    const kind = Object.hasOwn(kinds, key) ? kinds[key] : undefined;
    if (kind === undefined) {
      if (notBuiltYet.includes(key)) throw invalidOption(of, key, value, 'is not built yet in this version');
      throw invalidOption(of, key, value, `is not an option; the options are ${Object.keys(kinds).join(', ')}`);
    }
    if (value === undefined) continue;
    const rule = kind(value);
    if (rule !== null) throw invalidOption(of, key, value, rule);
  }
}

/** `of`, `key` and the rule it breaks: "must be a boolean". */
export function invalidOption(of: string, key: string, value: unknown, rule: string): UmbelError {
  const shown = inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 80, maxArrayLength: 5 });
  return new UmbelError('TASK_OPTION_INVALID', `${of}: ${key} ${rule}, got ${maskUrl(shown)}`);
}
