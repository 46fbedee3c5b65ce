/** Broker and backend on one connection, and what the settling code does with them. */
import type { Test } from 'tap';
import { RedisBackend } from '../../../src/backend/redis/redis-backend.ts';
import type { Delivery, SettleOutcome, Subscription } from '../../../src/broker/broker.ts';
import { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import type { RedisConnection, RedisConnectionParams } from '../../../src/driver/redis.ts';
import { type Arrivals, openInbox, textMessage, textOf } from '../../broker/inbox.ts';
import type { RecordingLog } from '../../driver/recording-log.ts';
import { link } from '../../driver/redis-link.ts';
import { record } from '../conformance.ts';

/** A server whose journal redis-journal.ts reads. */
export const journaled = { config: { appendonly: 'yes', appendfsync: 'always', 'auto-aof-rewrite-percentage': '0' } };

export interface Worker {
  readonly broker: RedisBroker;
  readonly backend: RedisBackend;
  readonly connection: RedisConnection;
  readonly subscription: Subscription;
  readonly deliveries: Arrivals<Delivery>;
  readonly log: RecordingLog;
  /** As the settling code does it. */
  settle(delivery: Delivery, status?: string): Promise<SettleOutcome>;
  state(state: string): Promise<void>;
}

export async function work(t: Test, url: string, more: Partial<RedisConnectionParams> = {}): Promise<Worker> {
  const { connection, state, log } = link(t, url, {}, more);
  const broker = new RedisBroker({ connection, log });
  const backend = new RedisBackend({ connection, resultExpiresMs: 86_400_000 });
  await broker.start();
  await backend.start();
  const { subscription, deliveries } = await openInbox(broker, ['celery']);
  const settle = async (delivery: Delivery, status = 'SUCCESS'): Promise<SettleOutcome> => {
    let outcome: SettleOutcome = 'stale';
    await backend.storeAndSettle([record(textOf(delivery), status, 1)], async () => {
      outcome = await subscription.ack(delivery);
    });
    return outcome;
  };
  return { broker, backend, connection, subscription, deliveries, log, settle, state: (wanted) => state(wanted as 'lost') };
}

export async function publish(worker: Worker, ids: readonly string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += 500) {
    await Promise.all(ids.slice(at, at + 500).map((id) => worker.broker.publish(textMessage(id), { exchange: '', routingKey: 'celery' })));
  }
}

export const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `task${index}`);
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** Id in an entry of `unacked`: `[envelope,"","celery"]` */
export const idOf = (entry: string): string => Buffer.from(String(JSON.parse(entry)[0].body), 'base64').toString();
