/**
 * `[node.NAME]`: workers of an installation, each with what differs from `[worker]`.
 *
 * Owns the keys, which are those of `[worker]`. Which table is of the worker that loads a configuration, and that it is weaker than flags and
 * environment, is load-config.ts; `umbel multi` starts the nodes that stand here.
 */
import { hostname } from 'node:os';
import { didYouMean } from '../std/nearest-name.ts';
import { parseNodeName, splitNodeName } from '../std/node-name.ts';
import { daemonSettings } from './daemon-settings.ts';
import { isTable } from './is-table.ts';
import { readJsonText } from './json-text.ts';
import { type Kind, Refusal, shown } from './kind.ts';
import { inlineTable } from './plain-table.ts';
import { type AnySetting, setting } from './setting.ts';
import { workerSettings } from './worker-settings.ts';

/** Key as in `[worker]` → value. */
export type NodeTable = Readonly<Record<string, unknown>>;

const prefix = 'worker_';
const known: Readonly<Record<string, AnySetting>> = { ...workerSettings, ...daemonSettings };
const keys = Object.keys(known)
  .filter((name) => name !== 'worker_hostname')
  .map((name) => name.slice(prefix.length));

function kindOf(key: string): Kind<unknown> | null {
  return keys.includes(key) ? (known[prefix + key]?.kind ?? null) : null;
}

const nodeTables: Kind<Readonly<Record<string, NodeTable>>> = {
  rule: 'a table for each node, [node.NAME], with keys as in [worker]',
  label: 'tables',
  readText: (text) => readJsonText(text, nodeTables.rule, nodeTables.readValue),
  readValue(value) {
    if (!isTable(value)) return new Refusal(`must be ${nodeTables.rule}, got ${shown(value)}`);
    const nodes: Record<string, NodeTable> = {};
    const wrong: Refusal[] = [];
    for (const [name, given] of Object.entries(value)) {
      if (!/^[^\s/@]+(@[^\s/]+)?$/.test(name)) return new Refusal(`must have names like w1 or w1@host, got ${shown(name)}`);
      if (!isTable(given)) return new Refusal(`must be a table, got ${shown(given)}`, [name]);
      const read: Record<string, unknown> = {};
      for (const [key, item] of Object.entries(given)) {
        const kind = kindOf(key);
        const one = kind === null ? unknownKey(key) : kind.readValue(item);
        if (one instanceof Refusal) wrong.push(one.within(name, key));
        else read[key] = one;
      }
      nodes[name] = Object.freeze(read);
    }
    return Refusal.of(wrong) ?? Object.freeze(nodes);
  },
  toToml: (nodes) =>
    inlineTable(
      Object.entries(nodes).map(([name, table]) => [
        name,
        inlineTable(Object.entries(table).map(([key, item]) => [key, kindOf(key)?.toToml(item) ?? '""'])),
      ]),
    ),
  resolve: (nodes, folder) => mapValues(nodes, (table) => mapValues(table, (item, key) => kindOf(key)?.resolve?.(item, folder) ?? item)),
};

export const nodeSettings = {
  worker_nodes: setting<Readonly<Record<string, NodeTable>>>({
    kind: nodeTables,
    default: Object.freeze({}),
    defaultText: 'none',
    doc: 'Nodes, and what differs for them from [worker]: `umbel multi start` starts these. A worker takes the table of its name: of `w1@host`, or of `w1` on any host.',
    celeryDiffers: 'Not in Celery.',
    example: { w1: { concurrency: 4 }, w2: { queues: ['mail'] } },
  }),
} as const;

/** What is said for the worker with this -n, as names of settings: by its short name, and stronger by its whole name. */
export function settingsOfNode(nodes: Readonly<Record<string, NodeTable>>, option: string | null) {
  const found: { readonly name: string; readonly value: unknown; readonly path: readonly [string, string] }[] = [];
  if (Object.keys(nodes).length === 0) return found;
  const host = hostname();
  const own = nameOf(option, host);
  if (own === null) return found;
  const short = splitNodeName(own).name;
  for (const wanted of [(key: string) => key === short, (key: string) => key.includes('@') && nameOf(key, host) === own])
    for (const [key, table] of Object.entries(nodes))
      if (wanted(key)) for (const [inner, value] of Object.entries(table)) found.push({ name: prefix + inner, value, path: [key, inner] });
  return found;
}

/** null: no name; whoever uses it says why. */
function nameOf(option: string | null, host: string): string | null {
  try {
    return parseNodeName(option, host);
  } catch {
    return null;
  }
}

function unknownKey(key: string): Refusal {
  if (key === 'hostname') return new Refusal('cannot stand here: the name of the table is the name of the node');
  return new Refusal(`is not known${didYouMean(key, keys, 'the keys are those of [worker]')}`);
}

function mapValues<T>(table: Readonly<Record<string, T>>, change: (value: T, key: string) => T): Readonly<Record<string, T>> {
  return Object.freeze(Object.fromEntries(Object.entries(table).map(([key, value]) => [key, change(value, key)])));
}
