/** Which queues there are, and which of them a worker takes. */
import t from 'tap';
import { type TaskQueue, workerDirectQueue } from '../../src/producer/queue-table.ts';
import { queueTable } from '../consumer/doubles.ts';

const names = (queues: readonly TaskQueue[]): readonly string[] => queues.map(({ name }) => name);
const reload: TaskQueue = { name: 'bcast.1', alias: 'reload', broadcast: true, exchange: 'reload', exchangeType: 'fanout' };

t.test('all that are declared, or those named; without those excluded', async (t) => {
  const table = queueTable({ queues: [{ name: 'a' }, { name: 'b' }, reload] });
  t.same(names(table.select([], [])), ['a', 'b', 'bcast.1']);
  t.same(names(table.select(['b', 'reload', 'b', 'new'], [])), ['b', 'bcast.1', 'new']);
  t.same(names(table.select([], ['a', 'reload', 'unknown'])), ['b']);
  t.same(names(queueTable().select([], [])), ['celery']);
  t.throws(() => table.select(['a'], ['a']), { code: 'USAGE', message: 'worker.exclude_queues must leave a queue to consume from, got a' });
});

t.test("unknown names without create_missing_queues, in Celery's words", async (t) => {
  const table = queueTable({ queues: [{ name: 'a' }, reload], createMissing: false });
  t.same(names(table.select(['reload'], [])), ['bcast.1']);
  t.throws(() => table.select(['a', 'x'], []), {
    code: 'QUEUE_UNKNOWN',
    message: /^Trying to select queue subset of \['a', 'x'\], but queue 'x' isn't defined in the `task_queues` setting\./,
  });
  t.throws(() => table.select([], ['x']), { code: 'QUEUE_UNKNOWN', message: /^Trying to deselect queue subset of \['x'\], but queue 'x'/ });
  t.throws(() => table.default, { code: 'QUEUE_UNKNOWN' });
});

t.test('made when it is named, once', async (t) => {
  const table = queueTable({ missing: { exchangeType: 'topic', arguments: { 'x-queue-type': 'quorum' } } });
  t.same(table.find('new'), { name: 'new', exchangeType: 'topic', arguments: { 'x-queue-type': 'quorum' } });
  t.equal(table.find('new'), table.find('new'));
  t.equal(table.exchangeType('new'), 'topic');
  t.equal(table.exchangeType('nobody'), undefined);
});

t.test('the queue of one worker', async (t) => {
  t.same(workerDirectQueue('w@h'), { name: 'w@h.dq2', exchange: 'C.dq2', exchangeType: 'direct', routingKey: 'w@h' });
});
