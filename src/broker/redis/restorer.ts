/**
 * Gives back what others held and cannot finish: messages of our own kind's dead workers, and anybody's beyond the visibility timeout.
 *
 * Owns: the sweeps. Each message is marked redelivered and becomes the next one of its list; it is restored once, whoever else tries.
 * Overdue messages are looked for as often as kombu does. One that is not due yet (eta) is no use to anybody else: it is given the age it
 * would have if it had been taken when it is due, so that neither we nor a Python worker start it a second time while its holder waits.
 * Source: protocol notes, redis.md §3.
 */
import { randomUUID } from 'node:crypto';
import type { RedisConnection } from '../../driver/redis.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import { parseIsoTime } from '../../protocol/iso-time.ts';
import { decodeEnvelope, encodeEnvelope } from '../../protocol/virtual-envelope.ts';
import type { Clock, Timer } from '../../std/clock.ts';
import { bindingMatches } from '../binding-match.ts';
import type { KeyLayout } from './key-layout.ts';
import { postponeScript, releaseMutexScript, sweepScript } from './lease-scripts.ts';
import { restoreScript, setAsideScript } from './settle-scripts.ts';
import { readEntry } from './unacked-entry.ts';

export interface RestorerParams {
  readonly connection: RedisConnection;
  readonly layout: KeyLayout;
  readonly visibilityTimeoutMs: number;
  /** Ours: who is late itself does not judge. */
  readonly workerId: string;
  readonly workerLeaseMs: number;
  readonly unackedMutexExpireMs: number;
  /** Messages in one sweep; null: all. */
  readonly unackedRestoreLimit: number | null;
  /** How often overdue messages are given back. */
  readonly sweepIntervalMs: number;
  readonly log: Logger;
  readonly clock: Clock;
}

const atOnce = 100;
const lookAtOnce = 1000;
/** Between two looks for messages that are overdue and not due. */
const shortestLookMs = 500;
const longestLookMs = 30_000;
const scanCount = 1000;

type Condition = { readonly limit: string } | { readonly deadWorker: string };

export class Restorer {
  readonly #params: RestorerParams;
  #timer: Timer | undefined;
  #restoring = false;
  #running = false;
  /** Monotonic. */
  #sweepAtMs = 0;

  constructor(params: RestorerParams) {
    this.#params = params;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.reconnected();
  }

  stop(): void {
    this.#running = false;
    this.#params.clock.clearTimer(this.#timer);
  }

  /** The scores in the index are old after a pause of the server: holders get time to renew before anything is swept. */
  reconnected(): void {
    const { clock, visibilityTimeoutMs, sweepIntervalMs } = this.#params;
    this.#sweepAtMs = clock.monotonic() + Math.min(sweepIntervalMs, visibilityTimeoutMs);
    if (this.#running) this.#arm();
  }

  /** We were late: perhaps everybody is. The others notice it at their next sign of life, and renew what they hold. */
  late(): void {
    const { clock, workerLeaseMs } = this.#params;
    this.#sweepAtMs = Math.max(this.#sweepAtMs, clock.monotonic() + workerLeaseMs);
  }

  /** Give back what these workers held. */
  dead(ids: readonly string[]): void {
    if (this.#restoring || !this.#running) return;
    this.#restoring = true;
    this.#restoreDead(ids)
      .catch((error: unknown) => this.#complain(error))
      .finally(() => {
        this.#restoring = false;
      });
  }

  #complain(error: unknown): void {
    // The dead stay in their set, the overdue in the index: the next round goes on.
    if (this.#params.connection.state === 'connected')
      this.#params.log.warning('broker.restore', `Messages could not be restored: ${messageOf(error)}`);
  }

  #arm(): void {
    const { clock, visibilityTimeoutMs, sweepIntervalMs, connection } = this.#params;
    clock.clearTimer(this.#timer);
    const again = (): void => {
      if (this.#running) this.#arm();
    };
    const look = (): void => {
      if (connection.state !== 'connected') {
        again();
        return;
      }
      const restore = clock.monotonic() >= this.#sweepAtMs;
      if (restore) this.#sweepAtMs = clock.monotonic() + sweepIntervalMs;
      void this.#sweep(restore)
        .catch((error: unknown) => this.#complain(error))
        .then(again);
    };
    const everyMs = Math.min(Math.max(visibilityTimeoutMs / 3, shortestLookMs), longestLookMs, sweepIntervalMs);
    this.#timer = clock.setTimer(look, everyMs, { ref: false });
  }

  async #restoreDead(ids: readonly string[]): Promise<void> {
    const { connection, layout, log } = this.#params;
    for (const id of ids) {
      const tags: string[] = [];
      let cursor = '0';
      do {
        const reply = await connection.call('ZSCAN', layout.unackedIndex, cursor, 'MATCH', `${id}.*`, 'COUNT', scanCount);
        const [next, pairs] = Array.isArray(reply) ? reply : ['0', []];
        cursor = String(next);
        if (Array.isArray(pairs)) for (let at = 0; at < pairs.length; at += 2) tags.push(String(pairs[at]));
      } while (cursor !== '0');
      // A scan may name one twice.
      const ordered = [...new Set(tags)].sort((a, b) => sequenceOf(b) - sequenceOf(a));
      let restored = 0;
      for (let at = 0; at < ordered.length; at += atOnce)
        restored += await this.#restore(ordered.slice(at, at + atOnce), { deadWorker: id });
      await connection.call('SREM', layout.deadWorkers, id);
      if (restored > 0) log.warning('broker.restored', `Restored ${restored} unacknowledged messages of a worker that died (${id})`);
    }
  }

  /** `restore` false: only what is not due is looked after. */
  async #sweep(restore: boolean): Promise<void> {
    const { connection, layout, log } = this.#params;
    const token = randomUUID();
    const most = this.#params.unackedRestoreLimit ?? Number.POSITIVE_INFINITY;
    const { unackedMutexExpireMs, visibilityTimeoutMs, workerId, workerLeaseMs } = this.#params;
    const keys = [layout.unackedIndex, layout.unackedMutex, layout.workers];
    let restored = 0;
    try {
      while (this.#running && restored < most) {
        const count = restore ? Math.min(atOnce, most - restored) : lookAtOnce;
        const args = [token, unackedMutexExpireMs, visibilityTimeoutMs / 1000, count, workerId, workerLeaseMs / 1000];
        const reply = await connection.run(sweepScript, keys, args);
        if (!Array.isArray(reply) || reply.length < 2) break;
        const limit = String(reply[0]);
        const tags = reply.slice(1).map(String);
        const postponed = await this.#postpone(tags, limit);
        if (!restore) break;
        const overdue = tags.filter((tag) => !postponed.has(tag));
        const done = await this.#restore(overdue, { limit });
        restored += done;
        // Somebody else is at the same ones, or none could be touched.
        if (done + postponed.size === 0) break;
      }
    } finally {
      if (connection.state === 'connected') await connection.run(releaseMutexScript, [layout.unackedMutex], [token]);
    }
    if (restored > 0) log.warning('broker.restored', `Restored ${restored} messages that were held for longer than the visibility timeout`);
  }

  /** Those of the tags whose message is not due. */
  async #postpone(tags: readonly string[], limit: string): Promise<Set<string>> {
    const { connection, layout, clock } = this.#params;
    const entries = await connection.call('HMGET', layout.unacked, ...tags);
    const postponed = new Set<string>();
    const args: string[] = [limit];
    for (const [at, tag] of tags.entries()) {
      const dueAtMs = dueTimeOf(Array.isArray(entries) ? entries[at] : null);
      if (dueAtMs === null || dueAtMs <= clock.now() - this.#params.visibilityTimeoutMs) continue;
      postponed.add(tag);
      args.push((dueAtMs / 1000).toFixed(6), tag);
    }
    if (postponed.size > 0) await connection.run(postponeScript, [layout.unackedIndex], args);
    return postponed;
  }

  /** How many were restored or dropped. */
  async #restore(tags: readonly string[], condition: Condition): Promise<number> {
    const { connection, layout } = this.#params;
    if (tags.length === 0) return 0;
    const entries = await connection.call('HMGET', layout.unacked, ...tags);
    if (!Array.isArray(entries)) return 0;
    const outcomes = await Promise.all(tags.map((tag, at) => this.#restoreOne(tag, entries[at], condition)));
    return outcomes.filter((outcome) => outcome).length;
  }

  async #restoreOne(tag: string, text: unknown, condition: Condition): Promise<boolean> {
    const { connection, layout, log } = this.#params;
    const limit = 'limit' in condition ? condition.limit : '';
    const deadWorker = 'deadWorker' in condition ? condition.deadWorker : '';
    const keys = [layout.unacked, layout.unackedIndex, layout.deadWorkers];
    // In the index alone: nothing to give back.
    if (typeof text !== 'string') {
      await connection.run(restoreScript, keys, [tag, '', limit, deadWorker]);
      return true;
    }
    const entry = readEntry(text);
    try {
      if (entry === null) throw new Error('it is not of the form [message, exchange, routing key]');
      const decoded = decodeEnvelope(entry.envelope);
      const queues = entry.exchange === '' ? [entry.routingKey] : await this.#queuesOf(entry.exchange, entry.routingKey);
      const step = layout.stepOf(decoded.message.properties.priority);
      const envelope = encodeEnvelope(decoded.message, { ...decoded, redelivered: true });
      const lists = queues.map((queue) => layout.list(queue, step));
      return (await connection.run(restoreScript, [...keys, ...lists], [tag, envelope, limit, deadWorker])) === 1;
    } catch (error) {
      if (error instanceof Error && error.name === 'RedisFailure') throw error;
      const queue = entry?.routingKey || 'unknown';
      log.error(
        'broker.undecodable',
        `An unacknowledged message that cannot be read went to ${layout.rejected(queue)}: ${messageOf(error)}`,
      );
      const behind = entry === null ? '' : Buffer.byteLength(text.slice(1 + entry.envelope.length));
      await connection.run(setAsideScript, [layout.unacked, layout.unackedIndex, layout.rejected(queue)], [behind, tag]);
      return true;
    }
  }

  async #queuesOf(exchange: string, routingKey: string): Promise<string[]> {
    const { connection, layout } = this.#params;
    const members = await connection.call('SMEMBERS', layout.binding(exchange));
    const queues = new Set<string>();
    for (const member of Array.isArray(members) ? members : []) {
      const [key = '', pattern = '', queue = ''] = String(member).split(layout.sep);
      if (queue !== '' && bindingMatches(pattern === '' ? 'direct' : 'topic', key, routingKey)) queues.add(queue);
    }
    return [...queues];
  }
}

function sequenceOf(tag: string): number {
  return Number(tag.slice(tag.lastIndexOf('.') + 1));
}

/** The eta of a task that is held; null: none, or no task. */
function dueTimeOf(text: unknown): number | null {
  const entry = typeof text === 'string' ? readEntry(text) : null;
  if (entry === null || !entry.envelope.includes('"eta"')) return null;
  try {
    const { headers } = decodeEnvelope(entry.envelope).message;
    return typeof headers?.eta === 'string' ? parseIsoTime(headers.eta) : null;
  } catch {
    // What cannot be read is set aside when it is restored.
    return null;
  }
}
