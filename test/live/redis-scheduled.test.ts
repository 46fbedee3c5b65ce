/** A hundred thousand tasks that wait for their ETA in Redis: what they cost the worker, and that none starts before its time. */
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { encodeEnvelope } from '../../src/protocol/virtual-envelope.ts';
import { redisConnection } from '../broker/redis/redis-place.ts';
import { eventually } from '../pool/eventually.ts';
import { RedisServer } from '../redis-server.ts';
import { HeldMemory, residentBytes } from './held-memory.ts';
import { LiveFolder } from './live-folder.ts';

const scheduled = 100_000;
const mostBytes = 60 * 1024 * 1024;
/** Some are due while the others come; far enough ahead that the first of them waits, too. */
const soon = 50;
const soonMs = 3000;
const atOnce = 1000;
const payload = 'x'.repeat(500);

const tasks = `
import { appendFileSync } from 'node:fs';
import { task } from 'umbel';
export const note = task({ name: 'scheduled.note', bind: true }, (context, _payload) => appendFileSync('starts.log', context.id + ' ' + Date.now() + '\\n'));
`;

void t.test(`${scheduled} tasks with an ETA`, async (t: Test) => {
  t.setTimeout(240_000);
  const server = await RedisServer.start(t);
  const url = server.url();
  const folder = new LiveFolder(t);
  folder.write('starts.log', '');
  const client = redisConnection(url);
  await client.acquire();
  t.teardown(() => client.abandon());
  /** Encoded once for all ids: it is the worker that is tested. */
  const mould = (dueAtMs: number | null): ((id: string) => string) => {
    const message = encodeTask({ id: 'THE-ID', task: 'scheduled.note', args: [payload], kwargs: {}, origin: 'test', etaMs: dueAtMs });
    const envelope = encodeEnvelope(message, { exchange: '', routingKey: 'celery', deliveryTag: 'tag-THE-ID' });
    return (id) => envelope.replaceAll('THE-ID', id);
  };
  const send = (...envelopes: readonly string[]): Promise<unknown> => client.call('LPUSH', 'celery', ...envelopes);
  const starts = (): Map<string, number> =>
    new Map(
      folder
        .read('starts.log')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => [line.split(' ')[0] ?? '', Number(line.split(' ')[1])]),
    );
  const module = folder.write('scheduled.mjs', tasks);
  const args = ['worker', '--log-format', 'json', '-l', 'warning', '-A', module, '-b', url, '-c', '1', '--result-backend', 'disabled'];
  // Its code has run, and its connections are there, before anything is measured.
  const worker = folder.start(args, { env: { UMBEL_WORKER_ENABLE_INSPECTOR: 'true', UMBEL_WORKER_PREFETCH_MULTIPLIER: '64' } });
  await send(mould(null)('first'));
  await eventually(t, 'the first has run', () => starts().has('first'));
  const memory = await HeldMemory.of(worker);
  const before = await memory.bytes();
  const residentBefore = residentBytes(worker);

  const dueAtMs = new Map<string, number>();
  const far = mould(Date.now() + 3_600_000);
  for (let sent = 0; sent < scheduled; sent += atOnce) {
    const batch = Array.from({ length: atOnce }, () => far(randomUUID()));
    if (sent < soon * atOnce) {
      const id = `soon-${sent / atOnce}`;
      const due = Date.now() + soonMs;
      dueAtMs.set(id, due);
      batch.push(mould(due)(id));
    }
    await send(...batch);
  }
  await eventually(t, 'those that are due have run', () => starts().size === 1 + soon, 90_000);
  await eventually(t, 'all others are held', async () => (await client.call('HLEN', 'unacked')) === scheduled, 90_000);
  const peakCost = residentBytes(worker) - residentBefore;
  // Collects.
  const cost = (await memory.bytes()) - before;
  const residentCost = residentBytes(worker) - residentBefore;
  await memory.close();
  t.comment(`${scheduled} tasks cost ${(cost / 1024 / 1024).toFixed(1)} MiB`);
  t.comment(`and ${(residentCost / 1024 / 1024).toFixed(1)} MiB of resident memory, ${(peakCost / 1024 / 1024).toFixed(1)} with garbage`);
  t.ok(residentCost > cost / 2 && peakCost <= mostBytes, `at most ${mostBytes} bytes of resident memory with garbage, got ${peakCost}`);
  t.ok(cost > scheduled * 8 && cost <= mostBytes, `at most ${mostBytes} bytes, got ${cost}`);

  await send(mould(null)('last'));
  const seen = await eventually(t, 'a task without an ETA is not held up', () => {
    const now = starts();
    return now.has('last') && now;
  });
  t.strictSame([...seen.keys()].sort(), ['first', 'last', ...dueAtMs.keys()].sort(), 'none of those that are not due');
  t.strictSame(
    [...dueAtMs].filter(([id, due]) => (seen.get(id) ?? 0) < due),
    [],
    'and none before its time',
  );
  t.match(await worker.stop(), { code: 0 });
  t.equal(server.cli('LLEN', 'celery'), String(scheduled), 'all are back for the next worker');
});
