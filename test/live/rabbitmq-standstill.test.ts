/** A worker whose RabbitMQ stands still is asked over its socket, and answers: it is well. */
import t from 'tap';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { LiveFolder } from './live-folder.ts';

t.setTimeout(300_000);

t.test('what it is waiting for is said in time for who asks', async (t) => {
  const server = await RabbitmqServer.start(t);
  const folder = new LiveFolder(t);
  folder.write('tasks.mjs', "import { task } from 'umbel';\nexport const add = task({ name: 'tasks.add' }, (a, b) => a + b);\n");
  const worker = await folder
    .worker(['-A', 'tasks.mjs', '-c', '1', '-b', server.url()], { env: { UMBEL_WORKER_CONTROL_SOCKET: 'ctl.sock' } })
    .ready();
  const why = () => folder.umbel(['ctl', '--socket', folder.file('ctl.sock'), 'why']);
  t.match(await why(), { status: 0, stdout: 'Its queues (celery) are empty.\n' });
  server.pause();
  t.teardown(() => server.resume());
  t.match(await why(), { status: 0, stdout: 'Nothing waits here; how much is in its queues (celery) cannot be told.\n' });
  server.resume();
  t.match(await worker.stop(), { code: 0 });
});
