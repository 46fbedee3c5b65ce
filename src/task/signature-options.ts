/** The options of a call as a signature keeps them: Celery's names, times that survive JSON. */
import { formatIsoTime } from '../protocol/iso-time.ts';
import type { CallOptions } from './call-options.ts';

/** Ours that Celery spells otherwise than with underscores, or whose value changes. */
const special: ReadonlySet<string> = new Set(['eta', 'expires', 'retryPolicy', 'stamps', 'headers']);

/** What is undefined is left out. */
export function signatureOptions(call: CallOptions): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(call)) {
    if (value !== undefined && !special.has(name)) options[snakeCase(name)] = value;
  }
  const { eta, expires, retryPolicy, stamps, headers } = call;
  if (eta !== undefined) options.eta = timeOf(eta);
  if (expires !== undefined) options.expires = typeof expires === 'number' ? expires : timeOf(expires);
  if (retryPolicy !== undefined) options.retry_policy = policyOf(retryPolicy);
  if (headers !== undefined) options.headers = headers;
  if (stamps !== undefined) Object.assign(options, stampOptions(stamps));
  return options;
}

/** As Celery keeps stamps in a signature: their names, and one option for each. */
export function stampOptions(stamps: Readonly<Record<string, unknown>>, earlier: unknown = null): Record<string, unknown> {
  const names = Array.isArray(earlier) ? earlier.map(String) : [];
  return { stamped_headers: [...new Set([...names, ...Object.keys(stamps)])], ...stamps };
}

function policyOf(policy: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(policy).map(([name, value]) => [snakeCase(name), value]));
}

function timeOf(time: Date | string): string {
  return typeof time === 'string' ? time : formatIsoTime(time.getTime());
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
