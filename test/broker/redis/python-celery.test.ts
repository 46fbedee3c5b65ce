/** Queues shared with real Python Celery over one Redis database. Skipped where Celery is not installed. */
import { randomUUID } from 'node:crypto';
import t from 'tap';
import type { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import type { Message } from '../../../src/protocol/message.ts';
import { celeryMissing, ended, PythonCelery } from '../../python-celery.ts';
import { RedisServer } from '../../redis-server.ts';
import { openInbox } from '../inbox.ts';
import { redisBroker } from './redis-place.ts';

const tasksModule = (url: string, visibilityTimeout: number): string => `
import redis
from celery import Celery
app = Celery('tasks', broker='${url}')
app.conf.broker_transport_options = {'visibility_timeout': ${visibilityTimeout}}
app.conf.worker_prefetch_multiplier = 1
app.conf.task_acks_late = True
app.conf.worker_redirect_stdouts = False

client = redis.Redis.from_url('${url}')

@app.task(name='tasks.note')
def note(text): client.rpush('ran', text)

@app.task(name='tasks.hang')
def hang(text):
    note(text)
    client.blpop('what nobody gives')
`;

function taskMessage(name: string, args: readonly unknown[], id: string = randomUUID()): Message {
  return {
    properties: { contentType: 'application/json', contentEncoding: 'utf-8', correlationId: id, replyTo: '', deliveryMode: 2, priority: 0 },
    headers: { lang: 'js', task: name, id, root_id: id, parent_id: null, group: null, retries: 0, eta: null, expires: null },
    body: Buffer.from(JSON.stringify([args, {}, { callbacks: null, errbacks: null, chain: null, chord: null }])),
  };
}

const argsOf = (message: Message): unknown => JSON.parse(message.body.toString('utf8'))[0];
const publish = (broker: RedisBroker, queue: string, message: Message): Promise<void> =>
  broker.publish(message, { exchange: '', routingKey: queue });

/** Blocks in the server until something was noted; for a second at a time, as the connection may be silent for a few only. */
async function noted(broker: RedisBroker): Promise<unknown> {
  for (;;) {
    const reply = await broker.connection.call('BLPOP', 'ran', 1);
    if (Array.isArray(reply)) return reply[1];
  }
}

t.test('real Python Celery', { skip: celeryMissing(), timeout: 240_000 }, async (t) => {
  const server = await RedisServer.start(t);
  // A database for each: a Python worker that is killed at the end may leave something behind.
  let db = 0;

  t.test('a Python client sends, we consume', async (t) => {
    const url = server.url(++db);
    const celery = new PythonCelery(t, tasksModule(url, 3600));
    const broker = redisBroker(url);
    t.teardown(() => broker.stop());
    await broker.start();
    const inbox = await openInbox(broker, ['celery', 'mail'], 0);
    const code = `
for n, priority in enumerate([0, 3, 9]):
    note.apply_async((n,), task_id='py%d' % n, priority=priority)
note.apply_async((9,), queue='mail', countdown=3600)
`;
    await celery.script(code).rest();
    const deliveries = await inbox.deliveries.take(4);
    t.strictSame(deliveries.map((delivery) => argsOf(delivery)).sort(), [[0], [1], [2], [9]]);
    for (const delivery of deliveries) {
      t.equal(delivery.headers?.task, 'tasks.note');
      t.equal(delivery.redelivered, false);
      t.equal(await inbox.subscription.ack(delivery), 'done');
    }
    t.equal(deliveries.find(({ queue }) => queue === 'mail')?.routingKey, 'mail');
  });

  t.test('we send, a Python worker runs; to named exchanges as well', async (t) => {
    const url = server.url(++db);
    const celery = new PythonCelery(t, tasksModule(url, 3600));
    const broker = redisBroker(url);
    t.teardown(() => broker.stop());
    await broker.start();
    await celery.worker(['celery']);
    await publish(broker, 'celery', taskMessage('tasks.note', ['plain']));
    t.equal(await noted(broker), 'plain');
    await broker.publish(taskMessage('tasks.note', ['bound']), { exchange: 'celery', routingKey: 'celery' });
    t.equal(await noted(broker), 'bound', 'through the binding that the Python worker has made');
  });

  t.test('a Python worker dies with a message: it comes to us, marked', async (t) => {
    const url = server.url(++db);
    const celery = new PythonCelery(t, tasksModule(url, 3));
    const broker = redisBroker(url, { broker: { visibilityTimeoutMs: 3000, sweepIntervalMs: 1000 } });
    t.teardown(() => broker.stop());
    await broker.start();
    const worker = await celery.worker(['celery']);
    await publish(broker, 'celery', taskMessage('tasks.hang', ['started']));
    t.equal(await noted(broker), 'started');
    await ended(worker, 'SIGKILL');
    const inbox = await openInbox(broker, ['celery'], 1);
    const delivery = await inbox.deliveries.next();
    t.equal(delivery.redelivered, true);
    t.strictSame(argsOf(delivery), ['started']);
    t.equal(await inbox.subscription.ack(delivery), 'done');
  });

  t.test('what we hold: Python leaves it alone while we live, and restores it as its own when we are gone', async (t) => {
    const url = server.url(++db);
    // A process that stands still for longer than this may lose what it holds: kombu does not ask whether it lives.
    const timeoutSeconds = 5;
    const celery = new PythonCelery(t, tasksModule(url, timeoutSeconds));
    const broker = redisBroker(url, { broker: { visibilityTimeoutMs: timeoutSeconds * 1000 } });
    await broker.start();
    await publish(broker, 'held', taskMessage('tasks.note', ['held'], 'held-id'));
    const inbox = await openInbox(broker, ['held'], 1);
    await inbox.deliveries.next();
    // kombu's own sweep, as a worker calls it, for two visibility timeouts.
    const sweep = `
import time
with app.connection_for_read() as connection:
    channel = connection.default_channel
    say('ready')
    for line in sys.stdin:
        end = time.time() + float(line)
        while True:
            channel.qos.restore_visible(interval=1)
            # Blocks in the server until something has been restored, and leaves it where it is; then time to sweep again.
            restored = 0 if client.brpoplpush('held', 'held', 1) is None else 1
            if restored or time.time() > end: break
        say(restored)
        if restored:
            message = channel.basic_get('held')
            say([message.delivery_info, message.headers['redelivered'], message.headers['id']])
            message.ack()
            break
`;
    const script = celery.script(sweep);
    t.equal(await script.next(), 'ready');
    script.say(String(2.25 * timeoutSeconds));
    t.equal(await script.next(), 0, 'renewed, so never too old');
    broker.connection.abandon();
    script.say(String(6 * timeoutSeconds));
    t.equal(await script.next(), 1);
    t.match(await script.next(), [{ exchange: '', routing_key: 'held', redelivered: true }, true, 'held-id']);
    await script.rest();
    t.equal(server.cli('-n', String(db), 'EXISTS', 'unacked', 'unacked_index'), '0');
  });

  t.test('a mixed fleet on one queue: each message once', async (t) => {
    const url = server.url(++db);
    const celery = new PythonCelery(t, tasksModule(url, 3600));
    const broker = redisBroker(url);
    t.teardown(() => broker.stop());
    await broker.start();
    await celery.worker(['celery']);
    const count = 300;
    const send = (n: number): Promise<void> => publish(broker, 'celery', taskMessage('tasks.note', [String(n)]));
    // The first one while it is alone: it may be slow to come for a second.
    await send(0);
    const theirs = [String(await noted(broker))];
    const ours: string[] = [];
    const subscription = await broker.consume({
      queues: ['celery'],
      prefetch: 2,
      onDelivery: (delivery) => {
        ours.push(String((argsOf(delivery) as unknown[])[0]));
        void subscription.ack(delivery);
        // Leave some to the other.
        subscription.pause();
        setTimeout(() => subscription.resume(), 2);
      },
      onLost: () => t.fail('a delivery was taken away'),
      onHeld: () => {},
    });
    for (let n = 1; n < count; n++) await send(n);
    while (ours.length + theirs.length < count) {
      const text = await broker.connection.call('LPOP', 'ran');
      if (typeof text === 'string') theirs.push(text);
    }
    t.ok(ours.length > 0 && theirs.length > 0, `${ours.length} here, ${theirs.length} there`);
    t.equal(new Set([...ours, ...theirs]).size, count);
    t.equal(await broker.countReady('celery'), 0);
  });
});
