/** Brokers on a test's Redis server, each with a connection of its own, as in processes of their own. */
import type { Test } from 'tap';
import { RedisBroker, type RedisBrokerOptions } from '../../../src/broker/redis/redis-broker.ts';
import { RedisConnection, type RedisConnectOptions } from '../../../src/driver/redis.ts';
import { redisPlaceFromUrl } from '../../../src/driver/redis-url.ts';
import type { Logger } from '../../../src/log/logger.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import type { RedisServer } from '../../redis-server.ts';

export interface PlaceOptions {
  readonly broker?: RedisBrokerOptions;
  readonly connect?: Partial<RedisConnectOptions>;
  readonly log?: Logger;
  readonly maxWaiting?: number;
}

export function redisConnection(url: string, options: PlaceOptions = {}): RedisConnection {
  const place = redisPlaceFromUrl(url);
  if ('problem' in place) throw new Error(place.problem);
  return new RedisConnection({
    place,
    log: options.log ?? new RecordingLog(),
    ...(options.connect === undefined ? {} : { options: options.connect }),
    ...(options.maxWaiting === undefined ? {} : { maxWaiting: options.maxWaiting }),
  });
}

export function redisBroker(url: string, options: PlaceOptions = {}): RedisBroker {
  const log = options.log ?? new RecordingLog();
  return new RedisBroker({ connection: redisConnection(url, { ...options, log }), log, options: options.broker ?? {} });
}

/** A broker that has been started, and stops with the test. */
export async function startedBroker(t: Test, server: RedisServer, options: PlaceOptions = {}): Promise<RedisBroker> {
  const broker = redisBroker(server.url(), options);
  t.teardown(() => broker.stop());
  await broker.start();
  return broker;
}
