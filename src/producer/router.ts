/**
 * Routers: what says of a task where it goes when its caller has not.
 *
 * A router is a map from task names and patterns, or a function of the operator. The first that has an answer decides. Owns
 * matching and the check of what functions return; what an answer leads to is producer/destination.ts.
 */
import type { ExchangeType } from '../broker/broker.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { Message } from '../protocol/message.ts';
import { readContent } from '../protocol/task-message.ts';
import { didYouMean } from '../std/nearest-name.ts';
import { repr } from '../std/safe-repr.ts';
import { taskPattern } from '../std/task-pattern.ts';
import { defaultRetryPolicy, isRetryPolicy, type RetryPolicy } from './publish-retry.ts';

/** Where and how to send. What is left open is decided by whoever is asked next: call, task, routers, defaults. */
export interface RouteOptions {
  readonly queue?: string | undefined;
  readonly exchange?: string | undefined;
  readonly exchangeType?: ExchangeType | undefined;
  readonly routingKey?: string | undefined;
  readonly priority?: number | undefined;
  readonly deliveryMode?: 1 | 2 | undefined;
  /** Try again when the broker is not there. */
  readonly retry?: boolean | undefined;
  readonly retryPolicy?: Partial<RetryPolicy> | undefined;
}

/** What a router function is asked about. The arguments are decoded when they are looked at. */
export interface TaskToRoute {
  readonly name: string;
  readonly id: string;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, unknown>> | null;
  /** What call and task have said. */
  readonly options: RouteOptions;
}

/** A queue's name, options, or nothing: then the next router is asked. */
export type RouterFunction = (task: TaskToRoute) => string | RouteOptions | null | undefined;

export interface Router {
  /** null: no answer. Throws ROUTER_FAILED. */
  route(task: TaskToRoute): RouteOptions | null;
  /** Before the first question. Rejects with ROUTER_FAILED. */
  load?(): Promise<void>;
}

/** Exact names first, then patterns in their order. */
export class MapRouter implements Router {
  readonly #exact = new Map<string, RouteOptions>();
  readonly #patterns: (readonly [RegExp, RouteOptions])[] = [];

  /** `where` names it in errors. Throws TASK_OPTION_INVALID for a regular expression or a route that is none. */
  constructor(entries: Iterable<readonly [pattern: string, route: string | RouteOptions]>, where = 'task.routes') {
    for (const [pattern, given] of entries) {
      const route = typeof given === 'string' ? { queue: given } : given;
      const problem = routeProblem(route);
      if (problem !== null) throw new UmbelError('TASK_OPTION_INVALID', `${where}: the route of ${pattern} ${problem}`);
      const expression = patternOf(pattern, where);
      if (expression === null) this.#exact.set(pattern, route);
      else this.#patterns.push([expression, route]);
    }
  }

  route({ name }: TaskToRoute): RouteOptions | null {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    for (const [expression, route] of this.#patterns) if (expression.test(name)) return route;
    return null;
  }
}

function patternOf(pattern: string, where: string): RegExp | null {
  try {
    return taskPattern(pattern);
  } catch (error) {
    const rule = 'must be a regular expression between its slashes';
    throw new UmbelError('TASK_OPTION_INVALID', `${where}: the pattern ${pattern} ${rule}: ${messageOf(error)}`, { cause: error });
  }
}

/** Calls a function and believes nothing it says unseen. */
export class FunctionRouter implements Router {
  readonly #route: RouterFunction;
  readonly #where: string;

  /** `where` names it in errors. */
  constructor(route: RouterFunction, where: string) {
    this.#route = route;
    this.#where = where;
  }

  route(task: TaskToRoute): RouteOptions | null {
    let answer: unknown;
    try {
      answer = this.#route(task);
    } catch (error) {
      throw this.#failed(task, `threw ${messageOf(error)}`, error);
    }
    if (answer === null || answer === undefined) return null;
    if (typeof answer === 'string' && answer !== '') return { queue: answer };
    const problem = routeProblem(answer);
    if (problem !== null) throw this.#failed(task, `returned what ${problem}`);
    return answer as RouteOptions;
  }

  #failed(task: TaskToRoute, what: string, cause?: unknown): UmbelError {
    return new UmbelError('ROUTER_FAILED', `the router ${this.#where} ${what} (task ${task.name}[${task.id}])`, { cause });
  }
}

interface Rule {
  readonly text: string;
  fits(value: unknown): boolean;
}

/** null: these are routing options. Otherwise completes "what …". */
function routeProblem(given: unknown): string | null {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return `must be the name of a queue, an object of routing options or nothing, got ${repr(given, 100)}`;
  if ('then' in given) return 'must be there at once, got a promise';
  for (const [key, value] of Object.entries(given)) {
    const rule = Object.hasOwn(optionRules, key) ? optionRules[key as keyof typeof optionRules] : undefined;
    if (rule === undefined) {
      const names = Object.keys(optionRules);
      return `has an option ${key}, which is none${didYouMean(key, names, `they are ${names.join(', ')}`)}`;
    }
    if (value !== undefined && !rule.fits(value)) return `has a ${key} that must be ${rule.text}, got ${repr(value, 100)}`;
  }
  return null;
}

const aName: Rule = { text: 'a non-empty text', fits: (value) => typeof value === 'string' && value !== '' };
const exchangeTypes: readonly unknown[] = ['direct', 'topic', 'fanout', 'headers'];

const optionRules: Readonly<Record<keyof RouteOptions, Rule>> = {
  queue: aName,
  exchange: aName,
  exchangeType: { text: 'direct, topic, fanout or headers', fits: (value) => exchangeTypes.includes(value) },
  routingKey: aName,
  priority: { text: 'an integer from 0 to 255', fits: (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 255 },
  deliveryMode: { text: '1 (transient) or 2 (persistent)', fits: (value) => value === 1 || value === 2 },
  retry: { text: 'true or false', fits: (value) => typeof value === 'boolean' },
  retryPolicy: { text: `an object of ${Object.keys(defaultRetryPolicy).join(', ')} with numbers, 0 or more`, fits: isRetryPolicy },
};

/** Decodes the body at the first look at the arguments. */
export class MessageToRoute implements TaskToRoute {
  readonly name: string;
  readonly id: string;
  readonly options: RouteOptions;
  readonly #message: Message;
  #content: ReturnType<typeof readContent> | null = null;

  constructor(name: string, id: string, message: Message, options: RouteOptions) {
    this.name = name;
    this.id = id;
    this.options = options;
    this.#message = message;
  }

  get headers(): Readonly<Record<string, unknown>> | null {
    return this.#message.headers;
  }

  get args(): readonly unknown[] {
    return this.#read().args;
  }

  get kwargs(): Readonly<Record<string, unknown>> {
    return this.#read().kwargs;
  }

  #read(): ReturnType<typeof readContent> {
    this.#content ??= readContent(this.#message, this.#message.headers !== null && 'task' in this.#message.headers ? 2 : 1);
    return this.#content;
  }
}
