/**
 * `task_routes`: which task goes where.
 *
 * A table of task names and patterns, a module that exports a router function, or a list of both that is asked in order. A pattern is
 * a glob when there is a `*` in it, and a regular expression when it stands between slashes. Owns reading and checking; matching is
 * producer/router.ts.
 */
import { isAbsolute, resolve } from 'node:path';
import { nearestName } from '../std/nearest-name.ts';
import { taskPattern } from '../std/task-pattern.ts';
import { readJsonText } from './json-text.ts';
import { boolean, integer, type Kind, Refusal, seconds, shown, text, tomlString } from './kind.ts';
import { inlineTable } from './plain-table.ts';
import { deliveryMode, exchangeType } from './queue-kind.ts';
import { field, fieldsText, type TableOf, table } from './table-kind.ts';

export const retryPolicyFields = {
  max_retries: field(integer({ min: 0 }), 'how often.'),
  interval_start: field(seconds(), 'before the first.'),
  interval_step: field(seconds(), 'added before each further one.'),
  interval_max: field(seconds(), 'never more than this.'),
};

const routeFields = {
  queue: field(text({ rule: 'the name of a queue' }), 'the queue.'),
  exchange: field(text({ rule: 'the name of an exchange' }), 'an exchange, instead of that of the queue.'),
  exchange_type: field(exchangeType, 'its type.'),
  routing_key: field(text({ rule: 'a routing key' }), 'a routing key, instead of that of the queue.'),
  priority: field(integer({ min: 0, max: 255 }), 'the priority.'),
  delivery_mode: field(deliveryMode, 'the delivery mode.'),
  retry: field(boolean(), 'as task.publish_retry.'),
  retry_policy: field(table(retryPolicyFields), 'as task.publish_retry_policy.'),
};

export type RouteSetting = TableOf<typeof routeFields>;

/** One router: the file of a module, perhaps with `:name` of an export; or patterns with their routes. */
export type RouterSetting = string | readonly (readonly [pattern: string, route: RouteSetting])[];

export const routeFieldsText = fieldsText(routeFields);

const routeTable = table(routeFields, {}, 'exact');
/** 1 path, 2 name of the export */
const modulePattern = /^(.+\.[cm]?[jt]s)(?::([A-Za-z_$][\w$]*))?$/;
const rule = 'a table of task names and routes, a router module, or a list of those';

export function taskRoutes(): Kind<readonly RouterSetting[]> {
  const readValue = (value: unknown): readonly RouterSetting[] | Refusal => {
    if (!Array.isArray(value)) {
      const router = readRouter(value);
      return router instanceof Refusal ? router : Object.freeze([router]);
    }
    const routers: RouterSetting[] = [];
    for (const [index, item] of value.entries()) {
      const router = readRouter(item);
      if (router instanceof Refusal) return router.within(index);
      routers.push(router);
    }
    return Object.freeze(routers);
  };
  return {
    rule,
    label: 'routes',
    readValue,
    readText: (given) => (!/^\s*[[{]/.test(given) ? readValue(given.trim()) : readJsonText(given, rule, readValue)),
    toToml: (routers) => (routers.length === 1 && routers[0] !== undefined ? tomlOf(routers[0]) : `[${routers.map(tomlOf).join(', ')}]`),
    resolve: (routers, folder) =>
      Object.freeze(routers.map((router) => (typeof router !== 'string' || isAbsolute(router) ? router : resolve(folder, router)))),
  };
}

/** The file and the export a router module is named with; null: this names none. */
export function routerModule(text: string): { readonly path: string; readonly exportName: string } | null {
  const [, path, exportName = 'default'] = modulePattern.exec(text) ?? [];
  return path === undefined ? null : { path, exportName };
}

function readRouter(value: unknown): RouterSetting | Refusal {
  if (typeof value === 'string')
    return routerModule(value) === null
      ? new Refusal(`must be the file of a router module (router.ts, or router.ts:name), got ${shown(value)}`)
      : value;
  if (Array.isArray(value)) return readPairs(value);
  if (typeof value !== 'object' || value === null || value instanceof Date) return new Refusal(`must be ${rule}, got ${shown(value)}`);
  const entries: [string, RouteSetting][] = [];
  for (const [pattern, given] of Object.entries(value)) {
    const entry = readEntry(pattern, given);
    if (entry instanceof Refusal) return entry.within(pattern);
    entries.push(entry);
  }
  return Object.freeze(entries);
}

/** Celery's "items" form. */
function readPairs(value: readonly unknown[]): RouterSetting | Refusal {
  const entries: [string, RouteSetting][] = [];
  for (const [index, pair] of value.entries()) {
    const [pattern, given, ...rest]: readonly unknown[] = Array.isArray(pair) ? pair : [];
    if (typeof pattern !== 'string' || given === undefined || rest.length > 0)
      return new Refusal(`must be a pair of a task name and a route, got ${shown(pair)}`, [index]);
    const entry = readEntry(pattern, given);
    if (entry instanceof Refusal) return entry.within(index);
    if (entries.some(([other]) => other === pattern)) return new Refusal(`must name ${pattern} once, got it twice`, [index]);
    entries.push(entry);
  }
  return Object.freeze(entries);
}

function readEntry(pattern: string, given: unknown): [string, RouteSetting] | Refusal {
  if (pattern === '') return new Refusal('must have a task name or a pattern, got ""');
  const problem = regularExpressionProblem(pattern);
  if (problem !== null) return new Refusal(`must be a regular expression between its slashes, got ${pattern}: ${problem}`);
  if (typeof given === 'string' && given !== '') return [pattern, Object.freeze({ queue: given })];
  if (typeof given !== 'object' || given === null)
    return new Refusal(`must be the name of a queue or a table of ${Object.keys(routeFields).join(', ')}, got ${shown(given)}`);
  // What it looks like when the dots of a task name were taken for tables.
  const [key, inner] = Object.entries(given)[0] ?? [];
  const isNested = key !== undefined && !Object.hasOwn(routeFields, key) && typeof inner === 'object' && inner !== null;
  if (isNested && nearestName(key, Object.keys(routeFields)) === null)
    return new Refusal(`has no key ${key}; a task name with dots stands in quotes: "${pattern}.${key}"`);
  const route = routeTable.readValue(given);
  return route instanceof Refusal ? route : [pattern, route];
}

function regularExpressionProblem(pattern: string): string | null {
  try {
    taskPattern(pattern);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.replace(/^Invalid regular expression: /, '') : String(error);
  }
}

function tomlOf(router: RouterSetting): string {
  if (typeof router === 'string') return tomlString(router);
  return inlineTable(router.map(([pattern, route]) => [pattern, routeTable.toToml(route)]));
}
