/** Connections to a test's own Redis server. */
import { RedisConnection, type RedisConnectionParams } from '../../../src/driver/redis.ts';
import { redisPlaceFromUrl } from '../../../src/driver/redis-url.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import type { RedisServer } from '../../redis-server.ts';

export function connectionTo(server: RedisServer, params: Partial<RedisConnectionParams> & { readonly db?: number } = {}): RedisConnection {
  const place = redisPlaceFromUrl(server.url(params.db ?? 0));
  if ('problem' in place) throw new Error(place.problem);
  return new RedisConnection({ log: new RecordingLog(), ...params, place });
}
