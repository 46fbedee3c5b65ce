/**
 * The reference: the fastest plain loop over the same queue, with the broker's own scripts. Reserves 64, acknowledges 64, until none is
 * left: one connection, nothing decoded, no task run.
 */
import type { Redis } from 'ioredis';
import { reserveScript } from '../src/broker/redis/reserve-script.ts';
import { acknowledgeScript } from '../src/broker/redis/settle-scripts.ts';

const atOnce = 64;
const id = 'umbel-raw';

/** Messages per second over the whole list `celery`, which is empty afterwards. */
export async function rawRedisRate(client: Redis, tasks: number): Promise<number> {
  const keys = ['unacked', 'unacked_index', 'bench-workers', 'celery', 'celery:rejected'];
  await client.zadd('bench-workers', Date.now() / 1000 + 3600, id);
  await client.script('LOAD', reserveScript.lua);
  await client.script('LOAD', acknowledgeScript.lua);
  let done = 0;
  const startedAtMs = performance.now();
  for (;;) {
    const reply = await client.evalsha(reserveScript.sha, keys.length, ...keys, id, done, atOnce, 1, 1, '0', '1', '"celery"');
    if (!Array.isArray(reply)) throw new Error(`the reservation must be answered with a list, got ${String(reply)}`);
    const found = reply.length / 2;
    if (found === 0) break;
    const tags = Array.from({ length: found }, (_, at) => `${id}.${done + at}`);
    await client.evalsha(acknowledgeScript.sha, 2, 'unacked', 'unacked_index', ...tags);
    done += found;
  }
  const seconds = (performance.now() - startedAtMs) / 1_000;
  await client.del('bench-workers');
  if (done !== tasks) throw new Error(`the raw loop must see ${tasks} messages, got ${done}`);
  return done / seconds;
}
