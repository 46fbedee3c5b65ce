/** A message whose confirmation nobody waits for: it is confirmed a little later, and at once when the server gives nothing more until then. */
import t from 'tap';
import { AmqpBroker } from '../../../src/broker/amqp/amqp-broker.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { inGoodTime } from '../../in-good-time.ts';
import { eventually } from '../../pool/eventually.ts';
import { RabbitmqVhost } from '../../rabbitmq-vhost.ts';
import { textMessage } from '../inbox.ts';
import { amqpPlace } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(240_000);

t.test('confirmed later, or at once', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const clock = new FakeClock();
  const broker = new AmqpBroker({ place: amqpPlace(vhost.url()), log: new RecordingLog(), clock });
  await broker.start();
  t.teardown(() => broker.abandon());
  for (const name of ['tasks', 'replies']) await broker.declareQueue({ name, exchange: '', durable: false });
  const confirmed: string[] = [];
  const reply = (text: string, confirm: 'later' | 'soon' = 'later'): Promise<void> =>
    broker.publish(textMessage(text), { exchange: '', routingKey: 'replies', confirm }).then(() => void confirmed.push(text));
  const told = (): string => `the replies must be confirmed, and those are that were: ${confirmed}`;
  const first = reply('first');
  const held = Promise.withResolvers<void>();
  const subscription = await broker.consume({
    queues: ['tasks'],
    prefetch: 2,
    onDelivery: () => held.resolve(),
    onLost: () => {},
    onHeld: () => {},
  });
  await broker.publish(textMessage('task'), { exchange: '', routingKey: 'tasks' });
  await inGoodTime(held.promise, () => 'the task must come');
  t.strictSame(confirmed, [], 'the server has not been asked, since there is room for more');
  // Its channel may not be open before.
  await eventually(t, 'the first is confirmed', () => {
    clock.advance(1);
    return confirmed.length > 0;
  });
  await first;
  const second = reply('second');
  t.strictSame(confirmed, ['first']);
  subscription.setPrefetch(1);
  await inGoodTime(reply('third'), told);
  t.strictSame(confirmed, ['first', 'second', 'third'], 'no room: nothing waits for the clock');
  await inGoodTime(second, told);
  subscription.setPrefetch(2);
  const fourth = reply('fourth');
  await inGoodTime(reply('fifth', 'soon'), told);
  t.strictSame(confirmed.slice(3), ['fourth', 'fifth'], 'in a hurry: neither does that, nor what came before it');
  await fourth;
  t.equal(await broker.countReady('replies'), 5);
});
