/** Queues of RabbitMQ's own kinds, shared with Python: priorities, quorum queues; which messages are to outlive the server. */
import { existsSync } from 'node:fs';
import t from 'tap';
import { amqpBroker } from '../broker/amqp/amqp-place.ts';
import { openInbox } from '../broker/inbox.ts';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, ended, PythonCelery } from '../python-celery.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { LiveFolder } from './live-folder.ts';
import { startedClient } from './started-client.ts';

t.setTimeout(300_000);

const tasks = `
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { task } from 'umbel';
export const note = task({ name: 'note', bind: true, acksLate: true }, (context, file, text) => {
  appendFileSync(file, text + ' ' + context.deliveryInfo.priority + ' ' + context.deliveryInfo.redelivered + '\\n');
});
export const hang = task({ name: 'hang', bind: true, acksLate: true }, async (context, file) => {
  appendFileSync(file, 'start ' + context.deliveryInfo.redelivered + '\\n');
  while (!context.deliveryInfo.redelivered) await delay(1000);
});
`;

t.test('queues', { skip: celeryMissing() }, async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const url = vhost.url();
  const folder = new LiveFolder(t);
  folder.write('tasks.mjs', tasks);
  folder.write(
    'umbel.toml',
    `
[broker]
url = "${url}"
[task]
default_queue = "main"
queue_max_priority = 10
[queues.main]
[queues.py]
[queues.quorum]
queue_arguments = { x-queue-type = "quorum" }
`,
  );
  const celery = new PythonCelery(
    t,
    `
from celery import Celery
from kombu import Exchange, Queue
app = Celery('tasks', broker='${url}')
app.conf.update(task_default_queue='main', task_default_exchange='main', task_queue_max_priority=10, worker_prefetch_multiplier=1, task_acks_late=True)
app.conf.task_queues = [Queue('main'), Queue('py', Exchange('main'), 'py')]
@app.task(name='note', bind=True)
def note(self, file, text):
    with open(file, 'a') as out: out.write('%s %s %s\\n' % (text, self.request.delivery_info['priority'], str(self.request.delivery_info['redelivered']).lower()))
`,
  );
  const client = await startedClient(t, folder);
  const lines = (file: string): string[] => (existsSync(folder.file(file)) ? folder.read(file).split('\n').slice(0, -1) : []);
  const inOrder = ['c 9 false', 'd 9 false', 'b 5 false', 'a 1 false'];

  t.test('priorities: Python sends, an umbel worker takes the highest first; and the other way round', async (t) => {
    const calls = [
      ['a', 1],
      ['b', 5],
      ['c', 9],
      ['d', 9],
    ] as const;
    await celery
      .script(`for text, priority in ${JSON.stringify(calls)}: note.apply_async(('${folder.file('ours')}', text), priority=priority)`)
      .rest();
    for (const [text, priority] of calls)
      await client.call({ task: 'note', args: [folder.file('theirs'), text], kwargs: {}, options: { queue: 'py', priority } });
    // Python's client waits for no confirmation.
    await eventually(t, 'all wait', async () => {
      const counts = (await vhost.list('queues', 'name', 'messages')).split('\n');
      return ['main\t4', 'py\t4'].every((count) => counts.includes(count));
    });
    const worker = await folder.worker(['-A', 'tasks.mjs', '-c', '1', '-O', 'fair', '--prefetch-multiplier', '1', '-Q', 'main']).ready();
    const python = await celery.worker(['py']);
    await eventually(t, 'all have run', () => lines('ours').length === 4 && lines('theirs').length === 4);
    t.strictSame(lines('ours'), inOrder);
    t.strictSame(lines('theirs'), inOrder);
    t.same(worker.all('broker.differs'), [], 'both declare the same');
    t.match(await worker.stop(), { code: 0 });
    await ended(python, 'SIGTERM');
  });

  t.test('quorum queue: a killed worker’s task runs again, marked', async (t) => {
    const start = () => folder.worker(['-A', 'tasks.mjs', '-c', '1', '-Q', 'quorum']);
    const worker = await start().ready();
    await client.call({ task: 'hang', args: [folder.file('hung')], kwargs: {}, options: { queue: 'quorum' } });
    await eventually(t, 'it runs', () => lines('hung').length === 1);
    await worker.stop('SIGKILL');
    const heir = await start().ready();
    await heir.event('task.succeeded');
    t.strictSame(lines('hung'), ['start false', 'start true']);
    t.match(await heir.stop(), { code: 0 });
  });

  t.test('a call says whether its message is to outlive the server', async (t) => {
    for (const deliveryMode of ['persistent', 'transient'] as const)
      await client.call({ task: 'note', args: ['', ''], kwargs: {}, options: { deliveryMode } });
    const broker = amqpBroker(url);
    t.teardown(() => broker.stop());
    await broker.start();
    const inbox = await openInbox(broker, ['main']);
    const modes = (await inbox.deliveries.take(2)).map(({ properties }) => properties.deliveryMode);
    t.strictSame(modes, [2, 1], 'test/broker/amqp/outage.test.ts restarts a server with both');
  });

  t.test('what the configuration says of a queue is what the server has', async (t) => {
    const other = new LiveFolder(t);
    other.write('tasks.mjs', tasks);
    other.write(
      'umbel.toml',
      `
[broker]
url = "${url}"
[broker.transport_options]
frame_max = 8192
[queues.limited]
message_ttl = 60
max_length = 100
max_length_bytes = 1_000_000
max_priority = 5
expires = 3600
consumer_arguments = { x-priority = 3 }
[queues.matched]
exchange = "by-headers"
exchange_type = "headers"
binding_arguments = { x-match = "all", kind = "image" }
`,
    );
    const worker = await other.worker(['-A', 'tasks.mjs', '-c', '1']).ready();
    const of = async (lines: Promise<string>, start: string): Promise<readonly string[]> =>
      (await lines).split('\n').filter((line) => line.startsWith(start));
    const [queue = ''] = await of(vhost.list('queues', 'name', 'arguments'), 'limited');
    for (const [name, value] of Object.entries({
      'message-ttl': 60_000,
      'max-length': 100,
      'max-length-bytes': 1_000_000,
      'max-priority': 5,
      expires: 3_600_000,
    }))
      t.match(queue, `{<<"x-${name}">>,signedint,${value}}`);
    t.match(await of(vhost.list('consumers', 'queue_name', 'arguments'), 'limited'), [/"x-priority">>,signedint,3/]);
    t.match(await of(vhost.list('bindings', 'source_name', 'destination_name', 'arguments'), 'by-headers'), [
      /^by-headers\tmatched\t\[\{<<"kind">>,longstr,<<"image">>\},\{<<"x-match">>,longstr,<<"all">>\}\]$/,
    ]);
    t.match(await vhost.list('connections', 'frame_max', 'client_properties'), /^8192\t.*"umbel"/m);
    const images = await startedClient(t, other);
    const options = { exchange: 'by-headers', exchangeType: 'headers', mandatory: true } as const;
    const file = other.file('images');
    await images.call({ task: 'note', args: [file, 'image'], kwargs: {}, options: { ...options, headers: { kind: 'image' } } });
    await worker.event('task.succeeded');
    t.match(other.read('images'), /^image /);
    const sound = images.call({ task: 'note', args: [file, 'sound'], kwargs: {}, options: { ...options, headers: { kind: 'sound' } } });
    await t.rejects(sound, { code: 'BROKER_REFUSED' });
    t.match(await worker.stop(), { code: 0 });
  });
});
