/** Where a message goes (messages.md §2.7), and that its queue is there before it. */
import t from 'tap';
import { UmbelError } from '../../src/errors.ts';
import { Producer, type ProducerParams, type Route } from '../../src/producer/producer.ts';
import { deliveryOf, Recorder, RecordingBroker, settled } from '../consumer/doubles.ts';

function open(params: Partial<ProducerParams> = {}): { producer: Producer; recorder: Recorder; broker: RecordingBroker } {
  const recorder = new Recorder();
  const broker = new RecordingBroker(recorder);
  return { recorder, broker, producer: new Producer({ broker, defaultQueue: 'celery', queues: [], createMissingQueues: true, ...params }) };
}

const message = deliveryOf({});

t.test('routes', async (t) => {
  const rows: readonly (readonly [string, Route, { readonly exchange: string; readonly routingKey: string }])[] = [
    ['nothing said: the default queue', {}, { exchange: '', routingKey: 'celery' }],
    ['a queue', { queue: 'mail' }, { exchange: '', routingKey: 'mail' }],
    ['a routing key alone names a queue', { routingKey: 'mail' }, { exchange: '', routingKey: 'mail' }],
    ['a queue wins over a routing key', { queue: 'mail', routingKey: 'other' }, { exchange: '', routingKey: 'mail' }],
    ['an exchange and a key', { exchange: 'news', routingKey: 'a.b' }, { exchange: 'news', routingKey: 'a.b' }],
    ['an exchange alone', { exchange: 'news' }, { exchange: 'news', routingKey: 'celery' }],
    ['an exchange and a queue', { exchange: 'news', queue: 'mail' }, { exchange: 'news', routingKey: 'mail' }],
    ['the default exchange by its name', { exchange: '', routingKey: 'mail' }, { exchange: '', routingKey: 'mail' }],
  ];
  for (const [title, route, destination] of rows) {
    const { producer, broker } = open();
    await producer.publish(message, route, null);
    t.same(broker.published[0]?.destination, destination, title);
    t.equal(broker.published[0]?.message, message);
  }
});

t.test('a due time goes along', async (t) => {
  const { producer, broker } = open();
  await producer.publish(message, {}, 1_800_000_000_000);
  t.same(broker.published[0]?.destination, { exchange: '', routingKey: 'celery', dueAtMs: 1_800_000_000_000 });
});

t.test('a queue is declared before the first message to it, once; an exchange is not ours to declare', async (t) => {
  const { producer, recorder } = open();
  await Promise.all([producer.publish(message, { queue: 'a' }, null), producer.publish(message, { queue: 'a' }, null)]);
  await producer.publish(message, { queue: 'b' }, null);
  await producer.publish(message, { exchange: 'news' }, null);
  t.same(
    recorder.calls.map(({ name, detail }) => `${name} ${detail}`),
    ['declare a', 'publish a', 'publish a', 'declare b', 'publish b', 'publish celery'],
  );
});

t.test('nothing is published to a queue that is still being declared', async (t) => {
  const { producer, recorder } = open();
  recorder.hold('declare');
  const publishing = producer.publish(message, {}, null);
  await settled();
  t.same(recorder.names, ['declare']);
  await recorder.pass('declare');
  await publishing;
  t.same(recorder.names, ['declare', 'publish']);
});

t.test('a declaration that failed is tried again with the next message', async (t) => {
  const { producer, recorder } = open();
  recorder.fail('declare', new UmbelError('BROKER_UNAVAILABLE', 'away'));
  await t.rejects(producer.publish(message, {}, null), { code: 'BROKER_UNAVAILABLE' });
  recorder.fail('declare', null);
  await producer.publish(message, {}, null);
  t.same(recorder.names, ['declare', 'declare', 'publish']);
});

t.test('without create_missing_queues only known queues are sent to', async (t) => {
  const { producer, recorder } = open({ createMissingQueues: false, queues: ['mail'] });
  await t.rejects(producer.publish(message, { queue: 'typo' }, null), {
    code: 'QUEUE_UNKNOWN',
    message: "a queue must be declared when task.create_missing_queues is false, got 'typo'",
  });
  t.same(recorder.names, []);
  await producer.publish(message, { queue: 'mail' }, null);
  await producer.publish(message, {}, null);
  t.equal(recorder.names.filter((name) => name === 'publish').length, 2);
});
