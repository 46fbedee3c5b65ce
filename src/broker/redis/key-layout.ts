/**
 * The names of keys and channels in Redis, as kombu has them, and which list a priority goes to.
 *
 * Owns: the spelling. Pure. Keys of our own begin with `_umbel.`; everything carries the global prefix.
 * Source: protocol notes, redis.md §2 to §4.
 */

export interface RedisLayoutOptions {
  /** Default: none. */
  readonly globalKeyprefix?: string;
  /** Ascending; the first is the list without a suffix. Default: 0, 3, 6, 9. */
  readonly prioritySteps?: readonly number[];
  /** Default: 0x06 0x16. */
  readonly sep?: string;
  /** true: `/{db}.`; a text of one's own, with `{db}` in it or not; false: none. */
  readonly fanoutPrefix?: boolean | string;
  /** Routing keys are part of the channel. Default: true. */
  readonly fanoutPatterns?: boolean;
  readonly unackedKey?: string;
  readonly unackedIndexKey?: string;
  readonly unackedMutexKey?: string;
}

export class KeyLayout {
  readonly prefix: string;
  readonly sep: string;
  readonly steps: readonly number[];
  readonly unacked: string;
  readonly unackedIndex: string;
  readonly unackedMutex: string;
  /** Sorted set of living workers: id → Redis time at which the lease ends. */
  readonly workers: string;
  /** Set of workers whose lease ended and whose messages are being given back. */
  readonly deadWorkers: string;
  readonly fanoutPatterns: boolean;
  readonly #fanoutPrefix: string;

  constructor(options: RedisLayoutOptions, db: number) {
    this.prefix = options.globalKeyprefix ?? '';
    this.sep = options.sep ?? '\x06\x16';
    this.steps = [...(options.prioritySteps ?? [0, 3, 6, 9])].sort((a, b) => a - b);
    this.unacked = this.prefix + (options.unackedKey ?? 'unacked');
    this.unackedIndex = this.prefix + (options.unackedIndexKey ?? 'unacked_index');
    this.unackedMutex = this.prefix + (options.unackedMutexKey ?? 'unacked_mutex');
    this.workers = `${this.prefix}_umbel.workers`;
    this.deadWorkers = `${this.prefix}_umbel.dead-workers`;
    this.fanoutPatterns = options.fanoutPatterns ?? true;
    const fanout = options.fanoutPrefix ?? true;
    this.#fanoutPrefix = fanout === false ? '' : (fanout === true ? '/{db}.' : fanout).replaceAll('{db}', String(db));
  }

  /** A key that was chosen and is another one's; null: none. Set, hash and list under one name would keep each other out. */
  collision(queues: readonly string[] = []): { readonly option: string; readonly problem: string } | null {
    const chosen = [
      ['unacked_key', this.unacked],
      ['unacked_index_key', this.unackedIndex],
      ['unacked_mutex_key', this.unackedMutex],
    ] as const;
    const taken = new Map([
      [this.workers, 'the living workers'],
      [this.deadWorkers, 'the dead workers'],
    ]);
    for (const queue of queues) for (const list of this.lists(queue)) taken.set(list, `queue ${queue}`);
    for (const [option, key] of chosen) {
      const other = key.startsWith(this.binding('')) || key.startsWith(this.rejected('')) ? 'a queue or exchange' : taken.get(key);
      if (other !== undefined)
        return { option, problem: `must be a key of its own, got ${key.slice(this.prefix.length)}, which is that of ${other}` };
      taken.set(key, option);
    }
    return null;
  }

  /** Nothing may be sent to a queue whose list would have the name of one of the broker's own keys. */
  isOwn(key: string): boolean {
    const own = [this.unacked, this.unackedIndex, this.unackedMutex, this.workers, this.deadWorkers];
    return own.includes(key) || key.startsWith(this.binding('')) || key.startsWith(this.rejected(''));
  }

  /** The list of a queue for one step; the first step has none in its name, as in kombu where it is 0. */
  list(queue: string, step: number): string {
    return step === 0 ? this.prefix + queue : `${this.prefix}${queue}${this.sep}${step}`;
  }

  /** All lists of a queue, most urgent first. */
  lists(queue: string): string[] {
    return this.steps.map((step) => this.list(queue, step));
  }

  /** The largest step that is not above the priority. */
  stepOf(priority: number | undefined): number {
    const wanted = priority ?? 0;
    let found = this.steps[0] ?? 0;
    for (const step of this.steps) if (step <= wanted) found = step;
    return found;
  }

  binding(exchange: string): string {
    return `${this.prefix}_kombu.binding.${exchange}`;
  }

  /** Where elements go that are no messages. */
  rejected(queue: string): string {
    return `${this.prefix}_umbel.rejected.${queue}`;
  }

  /** The channel of a broadcast. */
  channel(exchange: string, routingKey: string): string {
    const channel = `${this.prefix}${this.#fanoutPrefix}${exchange}`;
    return this.fanoutPatterns && routingKey !== '' ? `${channel}/${routingKey}` : channel;
  }
}

/** A member of a binding set. The pattern is a Python regular expression for topics, else empty. */
export function bindingMember(routingKey: string, pattern: string, queue: string, sep: string): string {
  return routingKey + sep + pattern + sep + queue;
}

/** kombu's translation of a topic into a Python regular expression: `a.#` → `^a\..*?$`. */
export function topicPattern(routingKey: string): string {
  const words = routingKey.replace(/[^\p{L}\p{N}.#*]/gu, '\\$&').split('.');
  return `^${words.map((word) => (word === '*' ? '.*?[^\\.]' : word === '#' ? '.*?' : word)).join('\\.')}$`;
}
