/**
 * Kinds of values: what a setting or an option may be, how it is read from text or from TOML, and how it is written.
 *
 * A kind owns its rule ("a positive integer"), which completes every error message about it. Text comes from flags and the
 * environment; values come from a TOML file or from code. A kind never knows which setting it is for.
 */
import { isAbsolute, resolve } from 'node:path';

/** Why a value was refused: completes "worker.pool …". */
export class Refusal {
  readonly reason: string;
  /** Where inside the value: keys and indexes, outermost first. Empty: the value as a whole. */
  readonly path: readonly (string | number)[];
  /** What else is wrong with the value. */
  readonly others: readonly Refusal[];

  constructor(reason: string, path: readonly (string | number)[] = [], others: readonly Refusal[] = []) {
    this.reason = reason;
    this.path = path;
    this.others = others;
  }

  /** All that is wrong in one value, in its order; null: nothing is. */
  static of(refusals: readonly Refusal[]): Refusal | null {
    const [first, ...others] = refusals.flatMap((one) => one.each());
    return first === undefined ? null : new Refusal(first.reason, first.path, others);
  }

  each(): readonly Refusal[] {
    return [this, ...this.others];
  }

  /** The same, seen from one level further out. */
  within(...outer: readonly (string | number)[]): Refusal {
    const others = this.others.map((one) => one.within(...outer));
    return new Refusal(this.reason, [...outer, ...this.path], others);
  }
}

export interface Kind<T> {
  /** Completes "must be …". */
  readonly rule: string;
  /** One or two words for tables: 'integer', 'list of text'. */
  readonly label: string;
  readText(text: string): T | Refusal;
  readValue(value: unknown): T | Refusal;
  /** As a TOML value. */
  toToml(value: T): string;
  /** null is a value with a TOML form of its own, not "no value". */
  readonly hasNull?: boolean;
  /** Relative paths made absolute. Absent: nothing to resolve. */
  resolve?(value: T, folder: string): T;
}

/** A value as an error message shows it; long ones are cut. */
export function shown(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  const text =
    typeof value === 'string' ? JSON.stringify(value) : typeof value === 'object' ? (JSON.stringify(value) ?? 'nothing') : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function mustBe(rule: string, value: unknown): Refusal {
  return new Refusal(`must be ${rule}, got ${shown(value)}`);
}

/** A TOML basic string. */
export function tomlString(text: string): string {
  // JSON's escapes are a subset of TOML's, except that DEL must be escaped too.
  return JSON.stringify(text).replaceAll('\x7f', '\\u007f');
}

interface Range {
  readonly min?: number;
  readonly max?: number;
}

export function integer({ min, max }: Range = {}): Kind<number> {
  const rule = rangeRule('integer', 'an integer', min, max);
  const readValue = (value: unknown): number | Refusal =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= (min ?? -Infinity) && value <= (max ?? Infinity)
      ? value
      : mustBe(rule, value);
  return {
    rule,
    label: 'integer',
    readText: (text) =>
      /^[+-]?\d+$/.test(text.trim()) ? readValue(Number(text)) : new Refusal(`must be ${rule}, got ${text.trim() === '' ? '""' : text}`),
    readValue,
    toToml: String,
  };
}

function rangeRule(noun: string, withArticle: string, min: number | undefined, max: number | undefined): string {
  if (min !== undefined && max !== undefined) return `${withArticle} from ${min} to ${max}`;
  if (min === 1) return `a positive ${noun}`;
  if (min !== undefined) return `${withArticle} not below ${min}`;
  if (max !== undefined) return `${withArticle} not above ${max}`;
  return withArticle;
}

/** A duration. Fractions are allowed. `above` excludes the bound itself. */
export function seconds({ above }: { readonly above?: number } = {}): Kind<number> {
  const rule = above === undefined ? 'a number of seconds, 0 or more' : `a number of seconds above ${above}`;
  const readValue = (value: unknown): number | Refusal =>
    typeof value === 'number' && Number.isFinite(value) && (above === undefined ? value >= 0 : value > above) ? value : mustBe(rule, value);
  return {
    rule,
    label: 'seconds',
    readText: (text) =>
      /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text.trim()) ? readValue(Number(text)) : new Refusal(`must be ${rule}, got ${shown(text)}`),
    readValue,
    toToml: String,
  };
}

/** As `seconds`, where 0 says "never" and is kept as null. */
export function secondsOrNever(): Kind<number | null> {
  const base = seconds();
  const never = (value: number | Refusal): number | null | Refusal => (value === 0 ? null : value);
  return {
    rule: 'a number of seconds, or 0 for never',
    label: 'seconds',
    hasNull: true,
    readText: (text) => never(base.readText(text)),
    readValue: (value) => (value === null ? null : never(base.readValue(value))),
    toToml: (value) => String(value ?? 0),
  };
}

const truths: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'yes', 'on', '1'].map((word) => [word, true] as const),
  ...['false', 'no', 'off', '0'].map((word) => [word, false] as const),
]);

export function boolean(): Kind<boolean> {
  const rule = 'true or false';
  return {
    rule,
    label: 'boolean',
    readText: (text) => truths.get(text.trim().toLowerCase()) ?? mustBe(`${rule} (or yes, no, on, off, 1, 0)`, text),
    readValue: (value) => (typeof value === 'boolean' ? value : mustBe(rule, value)),
    toToml: String,
  };
}

export function text({
  rule = 'a non-empty text',
  pattern = /./s,
}: {
  readonly rule?: string;
  readonly pattern?: RegExp;
} = {}): Kind<string> {
  const readValue = (value: unknown): string | Refusal => (typeof value === 'string' && pattern.test(value) ? value : mustBe(rule, value));
  return { rule, label: 'text', readText: readValue, readValue, toToml: tomlString };
}

/**
 * One of some words. `aliases` maps further spellings to a choice; `refused` says why a word that people will try is not one.
 * Case does not count.
 */
export function oneOf<const C extends string>(
  choices: readonly C[],
  {
    aliases = {},
    refused = () => null,
  }: { readonly aliases?: Readonly<Record<string, C>>; readonly refused?: (word: string) => string | null } = {},
): Kind<C> {
  const quoted = choices.map((choice) => `'${choice}'`);
  const rule = quoted.length === 1 ? `${quoted[0]}` : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
  const byWord = new Map<string, C>([...choices.map((choice) => [choice.toLowerCase(), choice] as const), ...Object.entries(aliases)]);
  const readValue = (value: unknown): C | Refusal => {
    if (typeof value !== 'string') return mustBe(rule, value);
    const reason = refused(value);
    return byWord.get(value.toLowerCase()) ?? (reason === null ? mustBe(rule, value) : new Refusal(reason));
  };
  return { rule, label: choices.join(' | '), readText: readValue, readValue, toToml: tomlString };
}

/** A list; text is comma separated. A refused element is named. */
export function listOf<T>(item: Kind<T>, plural: string): Kind<readonly T[]> {
  const collect = (values: readonly (T | Refusal)[]): readonly T[] | Refusal => {
    const kept: T[] = [];
    for (const [index, value] of values.entries()) {
      if (value instanceof Refusal) return new Refusal(`must be a list of ${plural}; item ${index + 1} ${value.reason}`);
      kept.push(value);
    }
    return Object.freeze(kept);
  };
  const itemResolve = item.resolve;
  return {
    rule: `a list of ${plural}`,
    label: `list of ${plural}`,
    readText: (text) =>
      collect(
        text
          .split(',')
          .map((part) => part.trim())
          .filter((part) => part !== '')
          .map(item.readText),
      ),
    readValue: (value) => (Array.isArray(value) ? collect(value.map(item.readValue)) : mustBe(`a list of ${plural}`, value)),
    toToml: (value) => `[${value.map(item.toToml).join(', ')}]`,
    ...(itemResolve === undefined
      ? {}
      : { resolve: (value: readonly T[], folder: string) => Object.freeze(value.map((one) => itemResolve(one, folder))) }),
  };
}

/** A file or folder. A leading `~/` is not expanded (shells do that). `%` sequences pass through. */
export function path(): Kind<string> {
  return { ...text({ rule: 'a path' }), label: 'path', resolve: (value, folder) => (isAbsolute(value) ? value : resolve(folder, value)) };
}
