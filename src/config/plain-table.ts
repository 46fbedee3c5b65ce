/** A table whose keys are somebody else's: arguments of queues, properties of a client. Values are text, numbers, booleans, lists and tables. */
import { isTable } from './is-table.ts';
import { readJsonText } from './json-text.ts';
import { type Kind, Refusal, shown, tomlString } from './kind.ts';

export type PlainTable = Readonly<Record<string, unknown>>;

export function plainTable(): Kind<PlainTable> {
  const rule = 'a table of texts, numbers and booleans';
  const readValue = (value: unknown): PlainTable | Refusal => {
    if (!isTable(value)) return new Refusal(`must be ${rule}, got ${shown(value)}`);
    const path = misfit(value, []);
    return path === null ? Object.freeze(value) : new Refusal('must be a text, a number, a boolean, a list or a table', path);
  };
  return {
    rule,
    label: 'table',
    readValue,
    readText: (text) => readJsonText(text, rule, readValue),
    toToml: tomlValue,
  };
}

/** Where something stands that no broker could be told. */
function misfit(value: unknown, path: readonly (string | number)[]): readonly (string | number)[] | null {
  if (typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return null;
  if (Array.isArray(value)) return firstMisfit(value.entries(), path);
  return isTable(value) ? firstMisfit(Object.entries(value), path) : path;
}

function firstMisfit(items: Iterable<readonly [string | number, unknown]>, path: readonly (string | number)[]): ReturnType<typeof misfit> {
  for (const [key, item] of items) {
    const found = misfit(item, [...path, key]);
    if (found !== null) return found;
  }
  return null;
}

/** Any value as TOML. */
function tomlValue(value: unknown): string {
  if (typeof value === 'string') return tomlString(value);
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(', ')}]`;
  if (isTable(value)) return inlineTable(Object.entries(value).map(([key, item]) => [key, tomlValue(item)]));
  return String(value);
}

/** From keys and values that are TOML already. */
export function inlineTable(entries: readonly (readonly [key: string, value: string])[]): string {
  if (entries.length === 0) return '{}';
  return `{ ${entries.map(([key, value]) => `${/^[\w-]+$/.test(key) ? key : tomlString(key)} = ${value}`).join(', ')} }`;
}
