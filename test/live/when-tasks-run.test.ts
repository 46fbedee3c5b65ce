/**
 * When and how often tasks of Python clients run, on every broker: rate limits, ETA in time zones, expiry, automatic retries, handlers, hooks of
 * children, options from the configuration.
 */
import t from 'tap';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { brokerKinds, openBroker } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';

t.setTimeout(240_000);

const tasks = `
import { appendFileSync } from 'node:fs';
import { onWorkerProcessInit, onWorkerProcessShutdown, task } from 'umbel';
const note = (...words) => appendFileSync('notes', words.join(' ') + '\\n');
let connection = 'none';
onWorkerProcessInit(({ index }) => { connection = 'open'; note('init', index); });
onWorkerProcessShutdown(({ index }) => note('shutdown', index));
class Busy extends Error {}
export const seldom = task({ name: 'seldom', bind: true, acksLate: true, rateLimit: '1/s' }, (context) => note('seldom', context.id));
export const often = task({ name: 'often', bind: true }, (context) => note('often', context.id, connection));
export const timed = task({ name: 'timed', bind: true }, (context) => note('timed', context.id, Date.now()));
export const flaky = task({
  name: 'flaky', bind: true, autoretryFor: [Busy], retryBackoff: 1, retryBackoffMax: 0,
  beforeStart: (id) => note('before', id),
  onRetry: (exc, id) => note('retry', id, exc.message),
  onSuccess: (result, id) => note('success', id, result),
  afterReturn: (state, value, id) => note('after', id, state),
}, (context, succeedAt) => {
  if (context.retries < succeedAt) throw new Busy('at ' + context.retries);
  return 'after ' + context.retries;
});
export const onward = task({ name: 'onward', bind: true, acksLate: true }, async (context, _word = '') => {
  const { retries } = context;
  if (retries < 2) await context.retry({ throw: false, countdown: 0.1, args: ['run ' + retries] });
  note('onward', context.id, retries, context.args.length, context.deliveryInfo.redelivered);
});
`;

const toml = `
[worker]
prefetch_multiplier = 1
[tasks."sel*"]
rate_limit = "1/h"
`;

const client = (broker: string): string => `
from celery import Celery
app = Celery('client', broker=${JSON.stringify(broker)})
app.conf.timezone = 'Asia/Tokyo'
`;

/** Sent from another process, in another time zone. Each line said is [id, unix milliseconds when it is due]. */
const send = `
from datetime import datetime, timedelta, timezone
for n in range(8): app.send_task('seldom', task_id='seldom-%d' % n)
app.send_task('often', task_id='often-1')
app.send_task('flaky', [2], task_id='flaky-1')
app.send_task('onward', task_id='onward-1')
now = datetime.now(timezone.utc)
due = now + timedelta(milliseconds=2345)
ms = lambda moment: moment.timestamp() * 1000
app.send_task('timed', task_id='aware', eta=due.astimezone(timezone(timedelta(hours=-7))))
# Celery takes a time without a zone for UTC, whatever its timezone.
app.send_task('timed', task_id='naive', eta=due.replace(tzinfo=None))
app.send_task('timed', task_id='past', eta=now - timedelta(hours=5))
app.send_task('timed', task_id='late', expires=now - timedelta(seconds=1))
app.send_task('timed', task_id='never', countdown=3600)
counted = datetime.now(timezone.utc) + timedelta(seconds=1.5)
app.send_task('timed', task_id='counted', countdown=1.5)
say({'aware': ms(due), 'naive': ms(due), 'counted': ms(counted)})
`;

for (const kind of brokerKinds) {
  void t.test(kind, { skip: celeryMissing() }, async (t) => {
    const folder = new LiveFolder(t);
    const { url, pythonUrl } = await openBroker(t, kind, folder);
    folder.write('umbel.toml', toml);
    folder.write('notes', '');
    const notes = (): string[] => folder.read('notes').trimEnd().split('\n');
    const start = () => folder.worker(['-A', folder.write('tasks.mjs', tasks), '-b', url, '-c', '1', '--result-backend', 'disabled']);
    const worker = await start().ready();
    t.match(notes(), ['init 1'], 'a hook has run before the first task');
    const python = new PythonCelery(t, client(pythonUrl));
    const due = (await python.script(send).next()) as Record<string, number>;

    await worker.event('task.succeeded', ({ taskId }) => taskId === 'often-1');
    t.ok(notes().includes('often often-1 open'), 'seven that wait, with a prefetch of one, keep no other type waiting');
    await worker.event('task.succeeded', ({ taskId }) => taskId === 'past');
    // RabbitMQ itself drops what has expired in a queue.
    if (kind !== 'rabbitmq') t.match(await worker.event('task.revoked', ({ taskId }) => taskId === 'late'), { expired: true });
    await eventually(t, 'those that wait for their time have run', () =>
      Object.keys(due).every((id) => notes().some((line) => line.startsWith(`timed ${id} `))),
    );
    for (const [id, dueMs] of Object.entries(due)) {
      const startedMs = Number(
        notes()
          .find((line) => line.startsWith(`timed ${id} `))
          ?.split(' ')[2],
      );
      t.ok(startedMs >= Math.floor(dueMs), `${id} started ${startedMs - dueMs} ms after it was due`);
    }
    await worker.event('task.succeeded', ({ taskId }) => taskId === 'flaky-1');
    t.strictSame(
      notes().filter((line) => line.includes('flaky-1')),
      [
        'before flaky-1',
        'retry flaky-1 at 0',
        'before flaky-1',
        'retry flaky-1 at 1',
        'before flaky-1',
        'success flaky-1 after 2',
        'after flaky-1 SUCCESS',
      ],
    );
    await worker.count('task.succeeded', 3, ({ taskId }) => taskId === 'onward-1');
    t.strictSame(
      notes().filter((line) => line.startsWith('onward')),
      ['onward onward-1 0 0 false', 'onward onward-1 1 1 false', 'onward onward-1 2 1 false'],
      'a retry that is not thrown: each run has an end of its own',
    );
    t.strictSame(
      notes().filter((line) => line.startsWith('seldom')),
      ['seldom seldom-0'],
      'the limit of the configuration counts, not that of the module',
    );
    t.ok(!notes().some((line) => /^timed (late|never)/.test(line)));
    t.match(await worker.stop(), { code: 0 });
    t.equal(notes().at(-1), 'shutdown 1');
    // Another worker, without that limit, gets what was given back, in its order.
    folder.write('umbel.toml', '[tasks.seldom]\nrate_limit = 20\n');
    const next = await start().ready();
    await next.count('task.succeeded', 7, ({ taskName }) => taskName === 'seldom');
    t.strictSame(
      notes().filter((line) => line.startsWith('seldom')),
      Array.from({ length: 8 }, (_, n) => `seldom seldom-${n}`),
    );
    t.match(await next.stop(), { code: 0 });
  });
}
