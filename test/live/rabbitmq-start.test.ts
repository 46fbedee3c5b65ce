/** A start that RabbitMQ refuses ends with a reason, and leaves nothing behind on the server. */
import t from 'tap';
import { amqpBroker } from '../broker/amqp/amqp-place.ts';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { freePort } from '../test-server.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';

t.setTimeout(300_000);

t.test('starts that RabbitMQ refuses', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const operator = amqpBroker(vhost.url());
  t.teardown(() => operator.stop());
  await operator.start();
  const folderWith = (queues: string): LiveFolder => {
    const folder = new LiveFolder(t);
    folder.write('tasks.mjs', "import { task } from 'umbel';\nexport const add = task({ name: 'tasks.add' }, (a, b) => a + b);\n");
    folder.write('umbel.toml', `[broker]\nurl = "${vhost.url()}"\n[queues.celery]\n${queues}`);
    return folder;
  };
  const worker = ['-A', 'tasks.mjs', '-c', '1'];
  const broadcasts = async (): Promise<string[]> =>
    (await vhost.list('queues', 'name')).split('\n').filter((name) => name.startsWith('bcast.'));
  const broadcast = '[queues.reload2]\nbroadcast = true\n';

  t.test('a broadcast queue is declared when all others are there, and goes when it cannot be consumed from', async (t) => {
    const wrong = folderWith(`${broadcast}[queues.wrong]\nqueue_arguments = { x-max-length = "seven" }\n`);
    const end = await wrong.umbel(['worker', ...worker]);
    t.equal(end.status, 69, end.stderr);
    t.match(end.stderr, /queue wrong cannot be made as the settings want it/);
    t.strictSame(await broadcasts(), []);

    for (const queue of ['[queues."amq.mine"]', '[queues.mine]\nexchange = "amq.mine"']) {
      const reserved = await folderWith(`${queue}\n`).umbel(['worker', ...worker]);
      t.equal(reserved.status, 69, reserved.stderr);
      t.match(
        reserved.stderr,
        /RabbitMQ keeps names that begin with 'amq\.' for itself .*; there is none\. Give the (queue|exchange) another name/,
      );
    }

    await operator.declareQueue({ name: 'only' });
    const exclusive = { consumerTag: 'only', noAck: false, exclusive: true, arguments: {} };
    await operator.topology.run((channel) => channel.consume('only', exclusive, () => {}));
    const refused = await folderWith(`${broadcast}[queues.only]\n`).umbel(['worker', ...worker]);
    t.equal(refused.status, 69, refused.stderr);
    t.match(refused.stderr, /403 ACCESS_REFUSED - queue 'only'/);
    t.notMatch(refused.stderr, /goes on with another channel/);
    t.strictSame(await broadcasts(), []);

    const well = await folderWith(broadcast).worker(worker).ready();
    t.equal((await broadcasts()).length, 1);
    t.match(await well.stop(), { code: 0 });
    await eventually(t, 'it goes with its worker', async () => (await broadcasts()).length === 0);
  });

  t.test('a queue that others are to make is waited for, and the rest are consumed from', async (t) => {
    const folder = folderWith('[queues.theirs]\nno_declare = true\n');
    const port = await freePort();
    const runs = async (waiting: LiveWorker, queue: string): Promise<void> => {
      const called = await folder.umbel(['call', 'tasks.add', '--args', '[1, 2]', '--queue', queue]);
      t.equal(called.status, 0, called.stderr);
      await waiting.event('task.succeeded', ({ taskId }) => called.stdout.includes(String(taskId)));
    };
    const failed =
      /^Queue theirs cannot be consumed from: queue theirs must exist on the server, because it is not declared here; there is none \(amqp.*\)\. Trying again$/;

    const both = await folder.worker([...worker, '-n', 'both@here', '--purge']).ready();
    t.match(both.all('broker.consume-failed'), [{ level: 'error', message: failed }]);
    t.match(both.all('queue.unpurged'), [{ queue: 'theirs' }]);
    await runs(both, 'celery');
    const env = { UMBEL_WORKER_HEALTH_LISTEN: `:${port}` };
    const alone = await folder.worker([...worker, '-n', 'alone@here', '-Q', 'theirs'], { env }).ready();
    const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/readyz`)).status;
    t.equal(await ready(), 503);
    t.match(await both.stop(), { code: 0 });

    await operator.declareQueue({ name: 'theirs' });
    await alone.event('broker.consuming', ({ message }) => message === 'Consuming from theirs');
    t.equal(await ready(), 200);
    await runs(alone, 'theirs');
    t.match(await alone.stop(), { code: 0 });
  });
});
