/** Connections of a test to its Redis server, ended with the test. */
import type { Test } from 'tap';
import { RedisConnection, type RedisConnectionParams, type RedisConnectOptions, type RedisState } from '../../src/driver/redis.ts';
import { redisPlaceFromUrl } from '../../src/driver/redis-url.ts';
import { inGoodTime } from '../in-good-time.ts';
import { RecordingLog } from './recording-log.ts';

export interface Link {
  readonly connection: RedisConnection;
  readonly log: RecordingLog;
  /** The next time it gets into this state; at once when it is in it. */
  state(state: RedisState): Promise<void>;
}

export function link(t: Test, url: string, options: Partial<RedisConnectOptions> = {}, more: Partial<RedisConnectionParams> = {}): Link {
  const place = redisPlaceFromUrl(url);
  if ('problem' in place) throw new Error(place.problem);
  const log = new RecordingLog();
  const connection = new RedisConnection({ place, options, log, ...more });
  t.teardown(() => connection.abandon());
  return {
    connection,
    log,
    state: (wanted) => {
      if (connection.state === wanted) return Promise.resolve();
      const reached = new Promise<void>((resolve) => {
        const stop = connection.onStateChange((state) => {
          if (state !== wanted) return;
          stop();
          resolve();
        });
      });
      return inGoodTime(reached, () => `the connection to Redis must be ${wanted}, got ${connection.state}`);
    },
  };
}
