/**
 * A worker through an outage of Redis with thousands of results waiting, and through forgotten scripts: at no instant is a message
 * acknowledged without its result, or a result there without the acknowledgement.
 *
 * Judged by Redis's own journal, which has every step in which something became visible.
 */
import t, { type Test } from 'tap';
import { App, taskHandle } from '../../src/client/umbel.ts';
import { balance, journalOf } from '../backend/redis/redis-journal.ts';
import { eventually } from '../pool/eventually.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import { liveTasks } from './live-tasks.ts';

const waiting = 2500;
const flushed = 1500;
const idOf = (entry: string): string => String(JSON.parse(entry)[0].headers.id);

void t.test('more than 2,000 results wait; scripts are forgotten while they are stored', async (t: Test) => {
  t.setTimeout(180_000);
  const server = await RedisServer.start(t, {
    config: { appendonly: 'yes', appendfsync: 'no', 'auto-aof-rewrite-percentage': '0' },
  });
  const url = server.url();
  const folder = new LiveFolder(t);
  const module = folder.write('tasks.ts', liveTasks);
  const worker = folder.worker(['-A', module, '-b', url, '-c', '2', '-l', 'info'], {
    env: { UMBEL_RESULT_BACKEND: url, UMBEL_WORKER_PREFETCH_MULTIPLIER: String(waiting) },
  });
  await worker.ready();
  const gate = taskHandle<[string], string>('tasks.lateGate');
  // A client of its own each time: one that was there before the outage may not have noticed its end yet.
  const send = async (name: string, count: number): Promise<void> => {
    const app = new App({ broker: url, backend: url });
    await app.start();
    for (let from = 0; from < count; from += 500) {
      const some = Array.from({ length: Math.min(500, count - from) }, (_, index) => `${name}${from + index}`);
      await Promise.all(some.map((taskId) => gate.applyAsync({ args: [folder.file(name)], taskId })));
    }
    await app.stop();
  };
  const held = (count: number) => eventually(t, `${count} messages are held`, () => server.cli('HLEN', 'unacked') === String(count));

  await send('outage', waiting);
  await held(waiting);
  await server.stop();
  await worker.event('redis.lost');
  folder.write('outage', '');
  await worker.count('task.succeeded', waiting);
  await server.start();
  await held(0);

  const since = worker.now();
  await send('flush', flushed);
  await held(flushed);
  folder.write('flush', '');
  await eventually(t, 'all are settled', () => {
    server.cli('SCRIPT', 'FLUSH');
    return server.cli('HLEN', 'unacked') === '0';
  });
  await worker.count('task.succeeded', flushed, undefined, since);

  const { together, alone } = balance(journalOf(server), idOf);
  t.strictSame(alone, []);
  t.equal(together.size, waiting + flushed);
  t.strictSame(worker.all('task.settle-failed'), []);
  t.match(await worker.stop(), { code: 0 });
});
