/**
 * Children that come and go while Python sends, and messages nobody knows yet, on every broker: recycling by tasks and by memory, the number that follows the load by
 * Celery's rule and by a module, unknown tasks that wait for a worker that knows them.
 */
import t from 'tap';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { brokerKinds, openBroker } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';

t.setTimeout(240_000);

const tasks = `
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { task } from 'umbel';
const note = (...words) => appendFileSync('notes', words.join(' ') + '\\n');
const hoard = [];
export const pid = task({ name: 'pid', bind: true, acksLate: true }, async (context) => {
  await delay(30);
  note('pid', context.id, process.pid);
});
export const slow = task({ name: 'slow' }, () => delay(150));
export const grow = task({ name: 'grow', acksLate: true }, async (megabytes) => {
  hoard.push(Buffer.alloc(megabytes * 1024 * 1024, 1));
  note('grow', process.pid);
});
export const burst = task({ name: 'burst', bind: true, acksLate: true }, async (context) => {
  note('burst', context.id, process.pid);
  for (let taken = 0; taken < 4000; taken += 8) {
    hoard.push(Buffer.alloc(8 * 1024 * 1024, 1));
    await delay(5);
  }
});
`;

/** One child a job up to three, and never fewer than before: Celery's rule would take two. */
const autoscaler = 'export const autoscale = ({ reserved, processes, max }) => Math.max(processes, Math.min(max, reserved > 1 ? 3 : 1));\n';
const later = "import { task } from 'umbel';\nexport const later = task({ name: 'later' }, () => 'known now');\n";

const client = (broker: string): string => `
from celery import Celery
app = Celery('client', broker=${JSON.stringify(broker)})
`;

for (const kind of brokerKinds) {
  void t.test(kind, { skip: celeryMissing() }, async (t) => {
    const folder = new LiveFolder(t);
    const { url, pythonUrl } = await openBroker(t, kind, folder);
    const module = folder.write('tasks.mjs', tasks);
    folder.write('notes', '');
    const notes = (word: string): string[][] =>
      folder
        .read('notes')
        .split('\n')
        .map((line) => line.split(' '))
        .filter(([first]) => first === word);
    const backend = folder.sqliteUrl('results.db');
    const start = (env: Record<string, string>, ...more: string[]) =>
      folder.worker(['-A', module, '-b', url, '-l', 'debug', ...more], { env: { UMBEL_RESULT_BACKEND: backend, ...env } });
    const python = new PythonCelery(t, client(pythonUrl));
    const sender = python.script('for line in sys.stdin:\n    exec(line)\n    say(True)');
    const send = (code: string): Promise<unknown> => {
      sender.say(code);
      return sender.next();
    };

    await t.test('recycling by tasks, then by memory', async (t) => {
      const worker = await start({ UMBEL_WORKER_MAX_TASKS_PER_CHILD_JITTER: '1' }, '-c', '2', '--max-tasks-per-child', '4').ready();
      await send("for n in range(30): app.send_task('pid', task_id='pid-%d' % n)");
      // A time for each: eight children and more have to start.
      for (const done of [8, 16, 24, 30]) await worker.count('task.succeeded', done);
      const pids = notes('pid').map(([, , pid]) => String(pid));
      t.equal(new Set(notes('pid').map(([, id]) => id)).size, 30, 'none twice');
      const counts = [...Map.groupBy(pids, (pid) => pid).values()].map(({ length }) => length);
      t.ok(Math.max(...counts) <= 4, `tasks per child: ${counts.join(' ')}`);
      t.ok(counts.length >= 8);
      t.equal(worker.all('child.lost').length, 0);
      t.match(await worker.stop(), { code: 0 });

      const limits = { UMBEL_WORKER_MAX_MEMORY_PER_CHILD: '250000', UMBEL_WORKER_MAX_MEMORY_HARD: '700000' };
      const small = await start(limits, '-c', '1').ready();
      await send("app.send_task('grow', [220]); app.send_task('grow', [1])");
      await small.count('task.succeeded', 2);
      await small.event('child.recycled');
      await send("app.send_task('burst', task_id='burst'); app.send_task('pid', task_id='after')");
      t.match(await small.event('task.failed', ({ taskId }) => taskId === 'burst'), {
        message: /WorkerLostError.*more than worker\.max_memory_hard allows \(700000 KiB\)/,
      });
      await small.event('task.succeeded', ({ taskId }) => taskId === 'after');
      t.equal(notes('burst').length, 1);
      t.match(await small.stop(), { code: 0 });
    });

    await t.test("the number follows the load, by Celery's rule and by a module", async (t) => {
      const keepalive = { UMBEL_WORKER_AUTOSCALE_KEEPALIVE: '1' };
      const worker = await start(keepalive, '--autoscale', '3,1').ready();
      t.equal(worker.children().length, 1);
      await send("for n in range(20): app.send_task('pid')");
      await worker.event('pool.scaled', ({ message }) => /up/i.test(String(message)));
      await worker.count('task.succeeded', 20);
      await eventually(t, 'there is one child again', () => worker.children().length === 1);
      t.match(await worker.stop(), { code: 0 });

      const own = { ...keepalive, UMBEL_WORKER_AUTOSCALER: folder.write('scale.mjs', autoscaler) };
      const other = await start(own, '--autoscale', '5,1').ready();
      await send("for n in range(20): app.send_task('slow')");
      await eventually(t, 'as many as the module says', () => other.children().length === 3);
      await other.count('task.succeeded', 20);
      t.equal(other.children().length, 3, 'it says when there are fewer');
      t.match(await other.stop(), { code: 0 });
    });

    await t.test('unknown tasks wait for a worker that knows them, or are put aside', async (t) => {
      const patient = (timeoutSeconds: number) => ({
        UMBEL_WORKER_UNKNOWN_TASKS: 'requeue',
        UMBEL_WORKER_UNKNOWN_TASKS_DELAY: '0.5',
        UMBEL_WORKER_UNKNOWN_TASKS_TIMEOUT: String(timeoutSeconds),
      });
      // It gets what it has put back again as often as chance will have it: it must not be the one to give up.
      const worker = await start(patient(600), '-c', '1', '-n', 'old@localhost').ready();
      await send("app.send_task('later', task_id='later'); app.send_task('pid', task_id='known')");
      await worker.event('task.unregistered', ({ taskId }) => taskId === 'later');
      await worker.event('task.succeeded', ({ taskId }) => taskId === 'known');
      const next = folder.worker(['-A', folder.write('later.mjs', later), '-b', url, '-c', '1', '-n', 'new@localhost'], {
        env: { UMBEL_RESULT_BACKEND: backend, ...patient(1) },
      });
      await next.event('task.succeeded', ({ taskId }) => taskId === 'later');
      t.match(await worker.stop(), { code: 0 });
      await send("app.send_task('never', task_id='never')");
      await next.event('task.unregistered', ({ message }) => /is put back for up to 1s/.test(message));
      await next.event('task.unregistered', ({ message }) => /put aside in umbel\.dead/.test(message));
      const listed = await folder.umbel(['-b', url, 'dead', 'list', '--json']);
      t.match(JSON.parse(listed.stdout), { id: 'never', task: 'never', reason: 'unregistered' });
      t.match(await next.stop(), { code: 0 });
    });
  });
}
