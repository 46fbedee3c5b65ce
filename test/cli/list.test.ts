/** `umbel list` on the embedded broker. test/live/broker-tools.test.ts has the other brokers. */
import { join } from 'node:path';
import t from 'tap';
import { SqliteBroker } from '../../src/broker/sqlite/sqlite-broker.ts';
import { textMessage } from '../broker/inbox.ts';
import { storeAt } from '../broker/sqlite/temporary-store.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { runInMemory } from './run-in-memory.ts';

t.test('bindings and queues, as tables and as JSON', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': '[queues.celery]\n[queues.unused]\n' });
  const path = join(cwd, 'broker.db');
  const log = new RecordingLog();
  const broker = new SqliteBroker({ store: storeAt(path, log), leaseMs: 60_000, log });
  await broker.start();
  t.teardown(() => broker.stop());
  await broker.declareQueue({ name: 'celery' });
  await broker.declareQueue({ name: 'feeds', exchange: 'news', exchangeType: 'topic', routingKey: 'sport.#' });
  await broker.publish(textMessage('x'), { exchange: 'news', routingKey: 'sport.golf' });
  await broker.publish(textMessage('x'), { exchange: '', routingKey: 'unbound' });
  const list = (...args: string[]) => runInMemory(['-b', `sqlite:///${path}`, 'list', ...args], { cwd });
  t.same(await list('bindings'), {
    status: 0,
    stderr: '',
    stdout: [
      'Queue                        Exchange                     Routing Key',
      '----------------             ----------------             ----------------',
      'celery                       celery                       celery',
      'feeds                        news                         sport.#',
      '',
    ].join('\n'),
  });
  t.same(JSON.parse((await list('bindings', '-j')).stdout), [
    { queue: 'celery', exchange: 'celery', routing_key: 'celery' },
    { queue: 'feeds', exchange: 'news', routing_key: 'sport.#' },
  ]);
  t.same(await list('queues'), {
    status: 0,
    stderr: '',
    stdout: [
      'Queue                        Messages                     Consumers',
      '----------------             ----------------             ----------------',
      'celery                       0                            -',
      'feeds                        1                            -',
      'unbound                      1                            -',
      '',
    ].join('\n'),
  });
  t.same(JSON.parse((await list('queues', '--json')).stdout), [
    { queue: 'celery', messages: 0, consumers: null },
    { queue: 'feeds', messages: 1, consumers: null },
    { queue: 'unbound', messages: 1, consumers: null },
  ]);
  t.match(await list('binding'), { status: 64, stderr: /got "binding"; did you mean bindings\? \[USAGE\]/ });
});
