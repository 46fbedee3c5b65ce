/** `umbel purge` on the embedded broker: what is asked, what is removed, what is said. test/live/broker-tools.test.ts has the other brokers. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SqliteBroker } from '../../src/broker/sqlite/sqlite-broker.ts';
import { openInbox, textMessage } from '../broker/inbox.ts';
import { storeAt } from '../broker/sqlite/temporary-store.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { type Ran, runInMemory } from './run-in-memory.ts';

const question =
  'WARNING: This will remove all tasks from queues: celery, mail.\n' +
  '         There is no undo for this operation!\n\n(to skip this prompt use the -f option)\n' +
  'Are you sure you want to delete all tasks? [y/N]: ';

interface Scene {
  readonly broker: SqliteBroker;
  purge(args: readonly string[], input?: string): Promise<Ran>;
}

/** Two messages in `celery`, one in `mail`, one in `other`, of which the configuration says nothing. */
async function scene(t: Test): Promise<Scene> {
  const cwd = t.testdir({ 'umbel.toml': '[queues.celery]\n[queues.mail]\n[queues.news]\nbroadcast = true\n' });
  const log = new RecordingLog();
  const path = join(cwd, 'broker.db');
  const broker = new SqliteBroker({ store: storeAt(path, log), leaseMs: 60_000, log });
  await broker.start();
  t.teardown(() => broker.stop());
  for (const queue of ['celery', 'celery', 'mail', 'other']) await broker.publish(textMessage('x'), { exchange: '', routingKey: queue });
  return { broker, purge: (args, input = '') => runInMemory(['-b', `sqlite:///${path}`, 'purge', ...args], { cwd, input }) };
}

t.test('asks first: no answer is no', async (t) => {
  const { broker, purge } = await scene(t);
  t.same(await purge([]), { status: 1, stdout: '', stderr: `${question}\nAborted!\n` });
  t.same(await purge([], 'n\n'), { status: 1, stdout: '', stderr: `${question}Aborted!\n` });
  t.same(await purge(['-q'], '\n'), { status: 1, stdout: '', stderr: `${question}Aborted!\n` }, 'also when it is quiet');
  t.equal(await broker.countReady('celery'), 2);
  const again = `${question}Error: invalid input\nAre you sure you want to delete all tasks? [y/N]: `;
  t.same(await purge([], 'maybe\nYES\n'), { status: 0, stdout: 'Purged 3 messages from 2 known task queues.\n', stderr: again });
  t.equal(await broker.countReady('celery'), 0);
});

t.test('-f, and what it counts', async (t) => {
  const { broker, purge } = await scene(t);
  const inbox = await openInbox(broker, ['celery'], 1);
  const held = await inbox.deliveries.next();
  t.same(await purge(['-f', '-j']), { status: 0, stdout: '{"celery":1,"mail":1}\n', stderr: '' }, 'what is held stays');
  t.same(await purge(['-f']), { status: 0, stdout: 'No messages purged from 2 queues.\n', stderr: '' });
  t.equal(await inbox.subscription.reject(held, { requeue: true }), 'done');
  await inbox.subscription.cancel();
  t.equal(await broker.countReady('other'), 1);
  t.same(await purge(['-f', '-Q', 'other,other']), { status: 0, stdout: 'Purged 1 message from 1 known task queue.\n', stderr: '' });
});

t.test('-X, and nothing left to purge', async (t) => {
  const { broker, purge } = await scene(t);
  t.same(await purge(['-f', '-X', 'celery']), { status: 0, stdout: 'Purged 1 message from 1 known task queue.\n', stderr: '' });
  t.same(await purge(['-Q', 'other', '-X', 'other']), { status: 0, stdout: '', stderr: '' }, 'and nothing is asked');
  t.equal(await broker.countReady('other'), 1);
});

t.test('a broker that ends with the command has nothing to purge', async (t) => {
  t.match(await runInMemory(['-b', 'memory://', 'purge', '-f'], { cwd: t.testdir() }), { status: 64, stderr: /\[USAGE\]/ });
});
