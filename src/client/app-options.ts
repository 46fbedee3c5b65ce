/**
 * What `new App(…)` takes, and what its queues and routes are to the producer.
 *
 * Owns the check: a program without types, which misspells an option or gives a value of another shape, hears of it at once, with TASK_OPTION_INVALID and the
 * place. Queues and routes may be tables, as in TOML. What is said of one task is checked by producer/router.ts, and URLs by who opens them.
 */
import type { TaskQueue } from '../producer/queue-table.ts';
import { FunctionRouter, MapRouter, type RouteOptions, type Router, type RouterFunction } from '../producer/router.ts';
import {
  aBoolean,
  aMap,
  aName,
  anArray,
  anExchangeType,
  aText,
  checkOptions,
  invalidOption,
  type OptionKind,
} from '../task/option-check.ts';

export interface AppOptions {
  /** As the setting `broker.url`: `sqlite:///FILE`, `redis://`, `amqp://`, … Default: the embedded broker in the user's state folder. */
  readonly broker?: string;
  /** As the setting `result.backend`. Default: the file of the embedded broker; with another broker none. */
  readonly backend?: string;
  /** Default: celery. */
  readonly defaultQueue?: string;
  /** Queues that are more than a name: an exchange, several bindings, arguments. A list, or a table by their names. Others are made when they are named. */
  readonly queues?: readonly TaskQueue[] | Readonly<Record<string, Omit<TaskQueue, 'name'>>>;
  /** Which task goes where: a table, a function, or a list of them that is asked in its order. */
  readonly routes?: AppRouter | readonly AppRouter[];
  /** Send the event `task-sent` for each task that is sent. Default: false. */
  readonly sendSentEvent?: boolean;
  /** The exchange of events, as the workers have it. Default: celeryev. */
  readonly eventExchange?: string;
  /** The prefix of the exchanges of remote control, as the workers have it. Default: celery. */
  readonly controlExchange?: string;
  /** Task modules and folders, as the worker has them with -A: tasks imported from them are called under the names they have there. */
  readonly tasks?: readonly string[];
}

/** A function, or routes by names and patterns (`mail.*`, `/regular expression/`): a table, or a list of pairs. */
export type AppRouter =
  | RouterFunction
  | Readonly<Record<string, string | RouteOptions>>
  | readonly (readonly [pattern: string, route: string | RouteOptions])[];

const of = 'new App()';

/** Not a Map or a Set: their entries are no properties, so that they would look empty. */
const aTable: OptionKind = (value) => (aMap(value) === null && !(Symbol.iterator in (value as object)) ? null : 'must be a plain object');

const isPair = (one: unknown): boolean => Array.isArray(one) && one.length === 2 && typeof one[0] === 'string';

const aRouter: OptionKind = (value) => {
  const fits = Array.isArray(value) ? value.every(isPair) : typeof value === 'function' || aTable(value) === null;
  return fits ? null : 'must be a function, an object from task names to routes or a list of such pairs';
};

const names: OptionKind = (value) =>
  Array.isArray(value) && value.every((one) => aName(one) === null) ? null : 'must be an array of paths';

/** Queues and routes are looked at one by one. */
const appKinds = {
  broker: aName,
  backend: aName,
  defaultQueue: aName,
  queues: (value) => (anArray(value) === null || aTable(value) === null ? null : 'must be an array, or an object from names to queues'),
  routes: (value) => (anArray(value) === null ? null : aRouter(value)),
  sendSentEvent: aBoolean,
  eventExchange: aName,
  controlExchange: aName,
  tasks: names,
} satisfies Record<keyof AppOptions, OptionKind>;

const queueKinds = {
  name: aName,
  alias: aName,
  broadcast: aBoolean,
  exchange: aText,
  exchangeType: anExchangeType,
  routingKey: aText,
  bindings: anArray,
  durable: aBoolean,
  autoDelete: aBoolean,
  exclusive: aBoolean,
  exchangeDurable: aBoolean,
  noDeclare: aBoolean,
  deliveryMode: (value) => (value === 1 || value === 2 ? null : 'must be 1 (transient) or 2 (persistent)'),
  arguments: aTable,
  bindingArguments: aTable,
  consumerArguments: aTable,
} satisfies Record<keyof TaskQueue, OptionKind>;

/** In a table, where the key is the name. */
const { name: _, ...namedKinds } = queueKinds;

const bindingKinds = { exchange: aName, exchangeType: anExchangeType, routingKey: aText, arguments: aTable };

/** Of all but single queues and routes. Throws TASK_OPTION_INVALID. */
export function checkAppOptions(given: unknown): asserts given is AppOptions {
  must(aTable, 'options', given);
  checkOptions(of, { ...(given as object) }, appKinds, []);
}

/** Throws TASK_OPTION_INVALID. */
export function queuesOf({ queues = [], defaultQueue = 'celery' }: AppOptions): readonly TaskQueue[] {
  const isList = Array.isArray(queues);
  const known = new Set<string>();
  return Object.entries(queues).map(([key, given]: [string, unknown]) => {
    const place = isList ? `queues[${key}]` : `queues.${key}`;
    must(aTable, place, given);
    checkOptions(`${of}, ${place}`, { ...(given as object) }, isList ? queueKinds : namedKinds, []);
    const queue = (isList ? given : { ...(given as object), name: key }) as TaskQueue;
    must(aName, `the name of ${place}`, queue.name);
    if (known.has(queue.name)) throw invalidOption(of, `the name of ${place}`, queue.name, 'must be that of one queue');
    known.add(queue.name);
    checkBindings(place, queue);
    return queue.broadcast === true ? broadcastOf(place, queue, defaultQueue) : queue;
  });
}

function checkBindings(place: string, { bindings = [] }: TaskQueue): void {
  for (const [index, binding] of bindings.entries()) {
    const at = `${place}.bindings[${index}]`;
    must(aTable, at, binding);
    must(aName, `${at}.exchange`, binding.exchange);
    checkOptions(`${of}, ${at}`, { ...binding }, bindingKinds, []);
  }
}

/** As a worker makes it of one that says no more. */
function broadcastOf(place: string, queue: TaskQueue, defaultQueue: string): TaskQueue {
  const { exchangeType = 'fanout', routingKey = defaultQueue } = queue;
  if (exchangeType !== 'fanout')
    throw invalidOption(of, `${place}.exchangeType`, exchangeType, 'must be left out or fanout where broadcast is true');
  return { ...queue, exchangeType, routingKey };
}

/** Throws TASK_OPTION_INVALID. */
export function routersOf({ routes = [] }: AppOptions): readonly Router[] {
  const isList = Array.isArray(routes) && !routes.every(isPair);
  const list = isList ? (routes as readonly AppRouter[]) : [routes as AppRouter];
  return list.map((router, index) => {
    const place = isList ? `routes[${index}]` : 'routes';
    must(aRouter, place, router);
    if (typeof router === 'function') return new FunctionRouter(router as RouterFunction, router.name || 'function');
    const entries = Array.isArray(router) ? router : Object.entries(router as Readonly<Record<string, string | RouteOptions>>);
    return new MapRouter(entries, `${of}: ${place}`);
  });
}

/** Throws TASK_OPTION_INVALID, also for undefined. */
function must(kind: OptionKind, place: string, value: unknown): void {
  const rule = kind(value);
  if (rule !== null) throw invalidOption(of, place, value, rule);
}
