/** A start that RabbitMQ refuses ends with a reason, and leaves nothing behind on the server. */
import t from 'tap';
import { amqpBroker } from '../broker/amqp/amqp-place.ts';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { LiveFolder } from './live-folder.ts';

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
    const gone = folderWith(`${broadcast}[queues.gone]\nno_declare = true\n`);
    const end = await gone.umbel(['worker', ...worker]);
    t.equal(end.status, 69, end.stderr);
    t.match(end.stderr, /queue gone must exist on the server/);
    t.strictSame(await broadcasts(), []);

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
});
