/** An exclusive queue of RabbitMQ: its worker has it alone, others wait for it, and everybody sends to it. */
import t from 'tap';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { freePort } from '../test-server.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';

t.setTimeout(300_000);

t.test('an exclusive queue', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const folder = new LiveFolder(t);
  folder.write('tasks.mjs', "import { task } from 'umbel';\nexport const add = task({ name: 'tasks.add' }, (a, b) => a + b);\n");
  folder.write(
    'umbel.toml',
    `[broker]\nurl = "${vhost.url()}"\n[queues.excl2]\nexclusive = true\nexchange = "fx2"\nexchange_type = "fanout"\n[queues.common]\n`,
  );
  const start = (name: string, queues: string, env: Readonly<Record<string, string>> = {}, ...words: readonly string[]): LiveWorker =>
    folder.worker(['-A', 'tasks.mjs', '-c', '1', '-n', `${name}@here`, '-Q', queues, ...words], { env });
  const runs = async (worker: LiveWorker, ...where: readonly string[]): Promise<void> => {
    const called = await folder.umbel(['call', 'tasks.add', '--args', '[1, 2]', ...where]);
    t.equal(called.status, 0, called.stderr);
    await worker.event('task.succeeded', ({ taskId }) => called.stdout.includes(String(taskId)));
  };
  const first = await start('first', 'excl2').ready();
  await runs(first, '--exchange', 'fx2');
  await runs(first, '--queue', 'excl2');

  const doctor = await folder.umbel(['doctor', '--no-modules']);
  t.notMatch(doctor.stdout + doctor.stderr, /SERVER_REFUSES_RIGHTS|excl2/);

  const second = await start('second', 'excl2,common', { UMBEL_WORKER_CONTROL_SOCKET: 'ctl.sock' }, '--purge').ready();
  const refused = second.all('broker.consume-failed');
  t.match(refused, [
    {
      level: 'error',
      message:
        /^Queue excl2 cannot be consumed from: the queue belongs to another connection: 405 RESOURCE_LOCKED.*\. It is free when that one has ended \(rabbitmqctl .*Trying again$/,
    },
  ]);
  t.equal(refused.length, 1, 'once');
  t.match(second.all('queue.unpurged'), [{ message: /^purge: Queue excl2 is not emptied: the queue belongs to another connection/ }]);
  t.match(second.all('queue.purged'), [{ queue: 'common' }]);
  await runs(second, '--queue', 'common');
  const ctl = (...words: readonly string[]) => folder.umbel(['ctl', '--socket', folder.file('ctl.sock'), '-t', '30', ...words]);
  t.match((await ctl('why')).stdout, /RabbitMQ does not let it consume from excl2\.$/m);
  const { 'second@here': active } = JSON.parse((await ctl('active_queues', '-j')).stdout) as Record<string, { name: string }[]>;
  t.strictSame(
    active?.map(({ name }) => name),
    ['common'],
  );
  t.match((await ctl('add_consumer', 'excl2')).stdout, /ERROR\s+.*belongs to another connection/);

  t.match(await first.stop(), { code: 0 });
  await second.event('broker.consuming', ({ message }) => message === 'Consuming from excl2');
  await runs(second, '--queue', 'excl2');
  t.equal(second.all('broker.channel-lost').length, 0, 'at no cost to the other queue');

  const port = await freePort();
  const third = await start('third', 'excl2', { UMBEL_WORKER_HEALTH_LISTEN: `:${port}` }).ready();
  const readyz = await fetch(`http://127.0.0.1:${port}/readyz`);
  t.equal(readyz.status, 503);
  t.equal(await readyz.text(), 'takes tasks from no queue: RabbitMQ does not let it consume from excl2\n');
  t.match(await second.stop(), { code: 0 });
  await third.event('broker.consuming');
  t.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200);
  await runs(third, '--exchange', 'fx2');
  t.match(await third.stop(), { code: 0 });
});
