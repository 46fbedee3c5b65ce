/** The embedded broker's file shared with real Python Celery over kombu's SQLAlchemy transport. Skipped where Celery is not installed. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { SqliteBroker } from '../../../src/broker/sqlite/sqlite-broker.ts';
import type { Message } from '../../../src/protocol/message.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { openInbox, textMessage } from '../inbox.ts';
import { storeAt, temporaryFolder } from './temporary-store.ts';

const python = '/usr/bin/python3';
const missing =
  spawnSync(python, ['-c', 'import celery, sqlalchemy']).status !== 0 ? 'python3-celery and python3-sqlalchemy are needed' : false;

const tasksModule = `
import os
from celery import Celery
app = Celery('tasks', broker='sqla+sqlite:///' + os.environ['UMBEL_TEST_DB'])
app.conf.worker_redirect_stdouts = False

@app.task(name='tasks.add')
def add(x, y):
    print('RAN', x + y, flush=True)
    return x + y
`;

const sender = `
from tasks import app
for n in range(3):
    app.send_task('tasks.add', args=(n, 1), task_id='py%d' % n, priority=n)
app.send_task('tasks.add', args=(9, 9), task_id='other', queue='other')
`;

function taskMessage(id: string, args: readonly unknown[]): Message {
  return {
    properties: { contentType: 'application/json', contentEncoding: 'utf-8', correlationId: id, replyTo: '', deliveryMode: 2, priority: 0 },
    headers: { lang: 'js', task: 'tasks.add', id, root_id: id, parent_id: null, group: null, retries: 0, eta: null, expires: null },
    body: Buffer.from(JSON.stringify([args, {}, { callbacks: null, errbacks: null, chain: null, chord: null }])),
  };
}

t.test('real Python Celery', { skip: missing }, async (t) => {
  for (const creator of ['umbel', 'python'] as const) {
    t.test(`a Python client sends; ${creator} made the tables`, async (t) => {
      const folder = temporaryFolder();
      t.teardown(() => folder.remove());
      const path = folder.path('broker.db');
      writeFileSync(folder.path('tasks.py'), tasksModule);
      const send = () =>
        spawnSync(python, ['-c', sender], { cwd: folder.path('.'), env: { ...process.env, UMBEL_TEST_DB: path }, encoding: 'utf8' });
      const log = new RecordingLog();
      const broker = new SqliteBroker({ store: storeAt(path, log), leaseMs: 60_000, log });
      if (creator === 'umbel') await broker.start();
      const sent = send();
      t.equal(sent.status, 0, sent.stderr);
      if (creator === 'python') await broker.start();
      t.equal(await broker.countReady('celery'), 3);
      const inbox = await openInbox(broker, ['celery', 'other'], 0);
      const deliveries = await inbox.deliveries.take(4);
      const celery = deliveries.filter((delivery) => delivery.queue === 'celery');
      t.strictSame(
        celery.map((delivery) => delivery.headers?.id),
        ['py2', 'py1', 'py0'],
        'by the priority that stands in the envelope',
      );
      const [first] = celery;
      t.match(first, {
        routingKey: 'celery',
        exchange: '',
        redelivered: false,
        properties: { contentType: 'application/json', priority: 2 },
      });
      t.equal(first!.headers?.task, 'tasks.add');
      t.strictSame(JSON.parse(first!.body.toString())[0], [2, 1]);
      for (const delivery of deliveries) t.equal(await inbox.subscription.ack(delivery), 'done');
      await broker.stop();
      t.strictSame(
        log.lines.filter((line) => line.level === 'error'),
        [],
      );
    });
  }

  t.test('a Python worker runs what we send, beside us', async (t) => {
    const folder = temporaryFolder();
    t.teardown(() => folder.remove());
    const path = folder.path('broker.db');
    writeFileSync(folder.path('tasks.py'), tasksModule);
    const log = new RecordingLog();
    const broker = new SqliteBroker({ store: storeAt(path, log), leaseMs: 60_000, log });
    await broker.start();
    await broker.declareQueue({ name: 'celery' });
    // Held by us and delayed by us: nothing a Python worker may see.
    await broker.publish(taskMessage('held', [100, 1]), { exchange: '', routingKey: 'celery' });
    const inbox = await openInbox(broker, ['celery'], 1);
    const held = await inbox.deliveries.next();
    await inbox.subscription.cancel();
    await broker.publish(taskMessage('delayed', [200, 1]), { exchange: '', routingKey: 'celery', dueAtMs: Date.now() + 3_600_000 });
    await broker.publish(taskMessage('first', [1, 2]), { exchange: '', routingKey: 'celery' });
    const worker = spawn(
      python,
      ['-m', 'celery', '-A', 'tasks', 'worker', '-P', 'solo', '-l', 'info', '--without-gossip', '--without-mingle', '--without-heartbeat'],
      {
        cwd: folder.path('.'),
        env: { ...process.env, UMBEL_TEST_DB: path, C_FORCE_ROOT: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const exited = once(worker, 'exit');
    let said = '';
    worker.stderr.on('data', (chunk) => {
      said += String(chunk);
    });
    const lines = createInterface({ input: worker.stdout })[Symbol.asyncIterator]();
    const nextRun = async (): Promise<string> => {
      for (;;) {
        const line = await lines.next();
        if (line.done === true) throw new Error(`the Python worker ended: ${said}`);
        if (line.value.startsWith('RAN')) return line.value;
      }
    };
    t.equal(await nextRun(), 'RAN 3');
    await broker.publish(taskMessage('second', [20, 2]), { exchange: '', routingKey: 'celery' });
    t.equal(await nextRun(), 'RAN 22', 'only what is visible');
    t.equal(await inbox.subscription.ack(held), 'done');
    worker.kill('SIGTERM');
    await exited;
    const database = new DatabaseSync(path, { readOnly: true });
    t.match(database.prepare('SELECT visible, umbel_due_at FROM kombu_message WHERE umbel_due_at IS NOT NULL').all(), [{ visible: 0 }]);
    const consumed = database.prepare('SELECT visible FROM kombu_message WHERE timestamp IS NOT NULL').all();
    t.equal(consumed.length, 2, 'kombu marks what it took and leaves it');
    database.close();
    await broker.stop();
  });

  t.test('what Python took long ago is deleted, nothing else', async (t) => {
    const folder = temporaryFolder();
    t.teardown(() => folder.remove());
    const path = folder.path('broker.db');
    const store = storeAt(path);
    const broker = new SqliteBroker({ store, leaseMs: 60_000, log: new RecordingLog() });
    await broker.start();
    await broker.publish(textMessage('ready'), { exchange: '', routingKey: 'q' });
    await broker.publish(textMessage('delayed'), { exchange: '', routingKey: 'q', dueAtMs: Date.now() + 3_600_000 });
    const database = new DatabaseSync(path, { timeout: 5000 });
    const insert = database.prepare(
      'INSERT INTO kombu_message (visible, timestamp, payload, version, queue_id, umbel_priority) VALUES (?, ?, ?, 2, 1, 0)',
    );
    insert.run(0, '2020-01-01 00:00:00.000000', 'old');
    insert.run(0, '2999-01-01 00:00:00.000000', 'recent');
    database.close();
    const { sweepDeadRows } = await import('../../../src/broker/sqlite/message-table.ts');
    t.equal(await store.write(sweepDeadRows), 1);
    t.equal(await store.write(sweepDeadRows), 0);
    t.equal(await store.read((db) => Number(db.prepare('SELECT count(*) FROM kombu_message').get()?.[0])), 3);
    await broker.stop();
  });
});
