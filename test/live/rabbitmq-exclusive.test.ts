/** An exclusive queue of RabbitMQ: its worker has it alone, and everybody sends to it. */
import t from 'tap';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { LiveFolder } from './live-folder.ts';

t.setTimeout(300_000);

t.test('an exclusive queue', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const folder = new LiveFolder(t);
  folder.write('tasks.mjs', "import { task } from 'umbel';\nexport const add = task({ name: 'tasks.add' }, (a, b) => a + b);\n");
  folder.write(
    'umbel.toml',
    `[broker]\nurl = "${vhost.url()}"\n[queues.excl2]\nexclusive = true\nexchange = "fx2"\nexchange_type = "fanout"\n`,
  );
  const worker = await folder.worker(['-A', 'tasks.mjs', '-c', '1']).ready();

  for (const where of [
    ['--exchange', 'fx2'],
    ['--queue', 'excl2'],
  ]) {
    const called = await folder.umbel(['call', 'tasks.add', '--args', '[1, 2]', ...where]);
    t.equal(called.status, 0, called.stderr);
    await worker.event('task.succeeded', ({ taskId }) => called.stdout.includes(String(taskId)));
  }

  const second = await folder.umbel(['worker', '-A', 'tasks.mjs', '-c', '1', '-n', 'second@here']);
  t.equal(second.status, 69);
  t.match(second.stderr, /the queue belongs to another connection: 405 RESOURCE_LOCKED.*'excl2'/);

  const doctor = await folder.umbel(['doctor', '--no-modules']);
  t.notMatch(doctor.stdout + doctor.stderr, /SERVER_REFUSES_RIGHTS|excl2/);
  t.match(await worker.stop(), { code: 0 });
});
