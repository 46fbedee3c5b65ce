/**
 * A setting that is a table with known keys, such as `broker_transport_options`.
 *
 * In TOML an inline table or a section of its own (`[result.backend_transport_options]`); in the environment JSON. An unknown
 * key is refused with a suggestion, and a key that means nothing here with the reason.
 */
import { didYouMean } from '../std/nearest-name.ts';
import { isTable } from './is-table.ts';
import { readJsonText } from './json-text.ts';
import { type Kind, Refusal, shown } from './kind.ts';

export interface Field<T> {
  readonly kind: Kind<T>;
  readonly doc: string;
  /** Never shown. */
  readonly secret?: boolean;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

export type TableOf<F extends Fields> = { readonly [K in keyof F]?: F[K] extends Field<infer T> ? T : never };

/** Identity that keeps the type of the value. */
export function field<T>(kind: Kind<T>, doc: string, more: { readonly secret?: boolean } = {}): Field<T> {
  return { kind, doc, ...more };
}

/**
 * `refused`: keys that people will try, and why not (completes "its key …"). `places`: whether a refusal names the table and
 * speaks of the key ('whole'), or names the place of the key in it, for each key that has one ('exact'; for tables that fill many lines).
 */
export function table<F extends Fields>(
  fields: F,
  refused: Readonly<Record<string, string>> = {},
  places: 'whole' | 'exact' = 'whole',
): Kind<TableOf<F>> {
  const names = Object.keys(fields);
  const rule = `a table of ${names.join(', ')}`;
  const readValue = (value: unknown): TableOf<F> | Refusal => {
    if (!isTable(value)) return new Refusal(`must be ${rule}, got ${shown(value)}`);
    const read: Record<string, unknown> = {};
    const wrong: Refusal[] = [];
    for (const [name, given] of Object.entries(value)) {
      const known = Object.hasOwn(fields, name) ? fields[name] : undefined;
      const item = known?.kind.readValue(given);
      if (known !== undefined && !(item instanceof Refusal)) read[name] = item;
      else if (places === 'exact') wrong.push(item instanceof Refusal ? item.within(name) : unknownHere(name, names));
      else if (item instanceof Refusal)
        return new Refusal(`has a key ${name} that ${known?.secret === true ? `must be ${known.kind.rule}` : item.reason}`);
      else return new Refusal(unknownKey(name, names, refused));
    }
    return Refusal.of(wrong) ?? (Object.freeze(read) as TableOf<F>);
  };
  return {
    rule,
    label: 'table',
    readValue,
    readText: (text) => readJsonText(text, rule, readValue),
    toToml: (value) => inlineTable(value, fields),
    resolve: (value, folder) => {
      const resolved: Record<string, unknown> = {};
      for (const [name, item] of Object.entries(value)) resolved[name] = fields[name]?.kind.resolve?.(item, folder) ?? item;
      return Object.freeze(resolved) as TableOf<F>;
    },
  };
}

/** The keys with their meaning, for the text of the setting. */
export function fieldsText(fields: Fields): string {
  return Object.entries(fields)
    .map(([name, { kind, doc }]) => `\`${name}\` (${kind.rule}): ${doc}`)
    .join(' ');
}

function inlineTable(value: object, fields: Fields): string {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return '{}';
  const text = ([name, item]: [string, unknown]): string => {
    const known = fields[name];
    return `${name} = ${known?.secret === true ? '"********"' : (known?.kind.toToml(item) ?? '""')}`;
  };
  return `{ ${entries.map(text).join(', ')} }`;
}

function unknownKey(name: string, names: readonly string[], refused: Readonly<Record<string, string>>): string {
  const reason = Object.hasOwn(refused, name) ? refused[name] : undefined;
  if (reason !== undefined) return `has a key ${name} that ${reason}`;
  return `has no key ${name}${didYouMean(name, names, `its keys are ${names.join(', ')}`)}`;
}

function unknownHere(name: string, names: readonly string[]): Refusal {
  return new Refusal(`is not known${didYouMean(name, names, `the keys are ${names.join(', ')}`)}`, [name]);
}
