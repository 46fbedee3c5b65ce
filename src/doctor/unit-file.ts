/**
 * The [Service] section of a systemd unit, from its file or, by name, as systemd has it with its drop-ins (`systemctl cat`).
 *
 * Owns the reading: continuation lines, later ones that replace earlier ones, spans of time. Reads only.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf, UmbelError } from '../errors.ts';

export interface UnitValue {
  readonly text: string;
  /** `umbel@.service:31`. */
  readonly place: string;
}

export class Unit {
  readonly name: string;
  readonly #values: ReadonlyMap<string, UnitValue>;

  constructor(name: string, values: ReadonlyMap<string, UnitValue>) {
    this.name = name;
    this.#values = values;
  }

  /** The last value that is not empty; an empty one takes back those before it. */
  get(key: string): UnitValue | null {
    const value = this.#values.get(key);
    return value === undefined || value.text === '' ? null : value;
  }

  /** Infinity for `infinity` and, where systemd says so, for 0; null: not said, or not a span. */
  seconds(key: string): number | null {
    const value = this.get(key);
    return value === null ? null : spanSeconds(value.text);
  }

  place(key: string): string {
    return this.get(key)?.place ?? this.name;
  }
}

/** `given`: a path when it has a slash in it, else the name of a unit. Throws USAGE. */
export function readUnit(given: string, cwd: string): Unit {
  if (given.includes('/')) {
    try {
      return parseUnit(readFileSync(resolve(cwd, given), 'utf8'), given);
    } catch (error) {
      throw new UmbelError('USAGE', `--unit must name a file that can be read, or a unit, got ${given}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  const { status, stdout, stderr, error } = spawnSync('systemctl', ['cat', '--no-pager', '--', given], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (status === 0) return parseUnit(stdout, given);
  throw new UmbelError('USAGE', `--unit must be a unit that systemd knows, or a path, got ${given}: ${error?.message ?? stderr.trim()}`);
}

export function parseUnit(text: string, name: string): Unit {
  const values = new Map<string, UnitValue>();
  let file = name;
  let section = '';
  let from = 0;
  let line = 0;
  let pending = '';
  for (const raw of text.split('\n')) {
    line += 1;
    // `systemctl cat` names each file before its text.
    const named = /^# (\/\S+)$/.exec(raw);
    if (named?.[1] !== undefined && /\.(service|conf)$/.test(named[1])) {
      file = named[1];
      line = 0;
      continue;
    }
    if (pending === '') from = line;
    if (/^\s*[#;]/.test(raw)) continue;
    if (raw.endsWith('\\')) {
      pending += `${raw.slice(0, -1)} `;
      continue;
    }
    const whole = (pending + raw).trim();
    pending = '';
    const header = /^\[(.*)\]$/.exec(whole)?.[1];
    if (header !== undefined) section = header;
    const equals = whole.indexOf('=');
    if (header !== undefined || equals <= 0 || section !== 'Service') continue;
    values.set(whole.slice(0, equals).trim(), { text: whole.slice(equals + 1).trim(), place: `${file}:${from}` });
  }
  return new Unit(name, values);
}

const unitSeconds: Readonly<Record<string, number>> = {
  us: 1e-6,
  ms: 1e-3,
  s: 1,
  sec: 1,
  second: 1,
  seconds: 1,
  m: 60,
  min: 60,
  minute: 60,
  minutes: 60,
  h: 3600,
  hr: 3600,
  hour: 3600,
  hours: 3600,
  d: 86_400,
  day: 86_400,
  days: 86_400,
  w: 604_800,
  week: 604_800,
  weeks: 604_800,
};

function spanSeconds(text: string): number | null {
  if (text === 'infinity') return Number.POSITIVE_INFINITY;
  let total = 0;
  for (const [, number, unit = 's'] of text.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)?/g)) {
    const factor = unitSeconds[unit];
    if (factor === undefined) return null;
    total += Number(number) * factor;
  }
  return /\d/.test(text) ? total : null;
}
