/**
 * Many tasks that wait for an ETA far away, on the embedded broker and on RabbitMQ: they are the broker's, so the worker's memory does not know of them, and
 * what is sent behind them runs. A hundred thousand on Redis, where workers hold them: redis-scheduled.test.ts.
 */
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import type { Broker } from '../../src/broker/broker.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { amqpBroker } from '../broker/amqp/amqp-place.ts';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { HeldMemory } from './held-memory.ts';
import { LiveFolder } from './live-folder.ts';

t.setTimeout(240_000);

const scheduled = 2000;
const atOnce = 200;
const payload = 'x'.repeat(4000);
/** Held, each would cost more than its payload alone. */
const mostBytes = 3 * 1024 * 1024;

const tasks = `
import { appendFileSync } from 'node:fs';
import { task } from 'umbel';
export const note = task({ name: 'scheduled.note', bind: true }, (context, _payload) => appendFileSync('starts.log', context.id + '\\n'));
`;

interface Place {
  readonly url: string;
  readonly broker: Broker;
  /** Put off, and of no concern to any worker. */
  countWaiting(): Promise<number>;
}

const places: Readonly<Record<string, (t: Test, folder: LiveFolder) => Promise<Place>>> = {
  sqlite: async (t, folder) => {
    const broker = await folder.broker();
    const database = new DatabaseSync(folder.database, { readOnly: true, timeout: 10_000 });
    t.teardown(() => database.close());
    const count = database.prepare('SELECT count(*) AS n FROM kombu_message WHERE umbel_due_at IS NOT NULL AND umbel_owner IS NULL');
    return { url: `sqlite:///${folder.database}`, broker, countWaiting: async () => Number(count.get()?.n) };
  },
  rabbitmq: async (t) => {
    const vhost = await RabbitmqVhost.open(t);
    const broker = amqpBroker(vhost.url());
    await broker.start();
    t.teardown(() => broker.stop());
    const countWaiting = async (): Promise<number> => {
      const queues = (await vhost.list('queues', 'name', 'messages')).split('\n').map((line) => line.split('\t'));
      return queues.filter(([name]) => name?.startsWith('umbel.delayed.')).reduce((sum, [, count]) => sum + Number(count), 0);
    };
    return { url: vhost.url(), broker, countWaiting };
  },
};

for (const [name, open] of Object.entries(places)) {
  void t.test(`scheduled far away: ${name}`, async (t) => {
    const folder = new LiveFolder(t);
    const { url, broker, countWaiting } = await open(t, folder);
    folder.write('starts.log', '');
    const args = ['worker', '--log-format', 'json', '-l', 'warning', '-A', folder.write('scheduled.mjs', tasks), '-b', url];
    const worker = folder.start([...args, '-c', '1', '--result-backend', 'disabled'], { env: { UMBEL_WORKER_ENABLE_INSPECTOR: 'true' } });
    /** As a client sends it whose broker knows nothing of times: every one comes to the worker first. */
    const send = (id: string, etaMs: number | null): Promise<void> => {
      const message = encodeTask({ id, task: 'scheduled.note', args: [payload], kwargs: {}, origin: 'test', etaMs });
      return broker.publish(message, { exchange: '', routingKey: 'celery' });
    };
    const starts = (): string[] => folder.read('starts.log').split('\n').slice(0, -1);
    const tomorrowMs = Date.now() + 86_400_000;
    const sendAll = async (what: string, count: number): Promise<void> => {
      for (let from = 0; from < count; from += atOnce)
        await Promise.all(Array.from({ length: Math.min(atOnce, count - from) }, (_, at) => send(`${what}-${from + at}`, tomorrowMs)));
      const waiting = what === 'early' ? count : scheduled;
      await eventually(t, `${waiting} wait in the broker`, async () => (await countWaiting()) === waiting);
    };
    await broker.declareQueue({ name: 'celery' });
    await send('first', null);
    await eventually(t, 'the first has run', () => starts().length > 0);
    // The code has run, and the buffers are as large as they get, before anything is measured.
    await sendAll('early', scheduled / 10);
    const memory = await HeldMemory.of(worker);
    const before = await memory.bytes();
    await sendAll('later', scheduled - scheduled / 10);
    const cost = (await memory.bytes()) - before;
    await memory.close();
    t.comment(`${scheduled} tasks cost ${(cost / 1024 / 1024).toFixed(2)} MiB`);
    t.ok(cost <= mostBytes, `at most ${mostBytes} bytes, got ${cost}`);
    await send('last', null);
    await eventually(t, 'a task without an ETA is not held up', () => starts().length > 1);
    t.strictSame(starts(), ['first', 'last'], 'and nothing else has run');
    t.match(await worker.stop(), { code: 0 });
    t.equal(await countWaiting(), scheduled, 'they wait on without a worker');
  });
}
