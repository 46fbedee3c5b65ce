/**
 * What a worker tells another of revoked tasks: the `revoked` of `hello`. Source: protocol notes, control.md §2.
 *
 *   {"<id>": [<seconds of the sender's monotonic clock>, "<id>"], …}
 */

import { jsonFloat } from './json.ts';

export interface RevokedEntry {
  readonly id: string;
  /** Of the sender's monotonic clock; null: it did not say. */
  readonly atSeconds: number | null;
}

/** Tolerant: what is no entry is left out, and a list of ids will do. */
export function readRevokedMap(value: unknown): RevokedEntry[] {
  if (Array.isArray(value)) return value.filter((id) => typeof id === 'string').map((id: string) => ({ id, atSeconds: null }));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).map(([id, entry]) => {
    const at: unknown = Array.isArray(entry) ? entry[0] : entry;
    return { id, atSeconds: typeof at === 'number' && Number.isFinite(at) ? at : null };
  });
}

/** Seconds as floats: Python refuses a whole number without a fraction, and with it all the others. */
export function writeRevokedMap(times: ReadonlyMap<string, number>): Readonly<Record<string, unknown>> {
  return Object.fromEntries([...times].map(([id, seconds]) => [id, [jsonFloat(seconds), id]]));
}
