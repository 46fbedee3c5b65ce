/** A rate limit as a setting: `'100/m'`, or a number per second. */
import { perSecond, type RateLimit, rateLimitRule } from '../std/rate-limit.ts';
import { type Kind, Refusal, shown, tomlString } from './kind.ts';

const readValue = (value: unknown): RateLimit | Refusal =>
  perSecond(value) === null ? new Refusal(`must be ${rateLimitRule}, got ${shown(value)}`) : (value as RateLimit);

export const rateLimit: Kind<RateLimit> = {
  rule: rateLimitRule,
  label: 'rate',
  readText: readValue,
  readValue,
  toToml: (value) => (typeof value === 'number' ? String(value) : tomlString(value)),
};
