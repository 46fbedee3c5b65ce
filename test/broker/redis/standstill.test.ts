/** A Redis subscription that gets no answers any more, and what is an answer: what the watch over consuming relies on. */
import t from 'tap';
import { reserveScript } from '../../../src/broker/redis/reserve-script.ts';
import type { RedisOperation } from '../../../src/driver/redis-outbox.ts';
import { eventually } from '../../pool/eventually.ts';
import { RedisServer, withoutRights } from '../../redis-server.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { redisBroker } from './redis-place.ts';

t.test('a reservation that is never answered: a new subscription finds what it took, and takes the rest', async (t) => {
  const server = await RedisServer.start(t);
  const broker = redisBroker(server.url());
  t.teardown(() => broker.stop());
  await broker.start();
  const { connection } = broker;
  const enqueue = connection.enqueue.bind(connection);
  const swallowed: (() => void)[] = [];
  let swallowing = true;
  // The server answers; whoever waits for it does not hear of it, as if we had lost it.
  connection.enqueue = (operation: RedisOperation): void => {
    let isReservation = false;
    enqueue({
      ...operation,
      commands: () => {
        const commands = operation.commands();
        isReservation = swallowing && commands.some((command) => command[1] === reserveScript.sha);
        return commands;
      },
      done: (replies, resent) => {
        if (isReservation) swallowed.push(() => operation.done(replies, resent));
        else operation.done(replies, resent);
      },
    });
  };
  for (const text of ['0', '1', '2']) await broker.publish(textMessage(text), { exchange: '', routingKey: 'celery' });
  const { subscription, deliveries } = await openInbox(broker, ['celery'], 4);
  await eventually(t, 'a reservation is swallowed', () => swallowed.length > 0);
  const { activity } = subscription;
  for (const text of ['3', '4', '5']) await broker.publish(textMessage(text), { exchange: '', routingKey: 'celery' });
  t.equal(await broker.countReady('celery'), 3, 'more are ready');
  t.strictSame([deliveries.size, subscription.activity, subscription.hasRoom], [0, activity, true], 'and it is stuck');
  swallowing = false;
  await subscription.rebuild();
  const first = await deliveries.take(4);
  for (const late of swallowed) late();
  for (const delivery of first) t.equal(await subscription.ack(delivery), 'done');
  const all = [...first, ...(await deliveries.take(2))];
  t.strictSame(all.map(textOf).sort(), ['0', '1', '2', '3', '4', '5']);
  t.notOk(
    all.some(({ redelivered }) => redelivered),
    'nobody had seen them',
  );
  await subscription.release();
  t.equal(deliveries.size, 0, 'the late answer brought nothing a second time');
});

t.test('what somebody else has taken is an answer', async (t) => {
  const server = await RedisServer.start(t);
  const [idle, rival] = [redisBroker(server.url()), redisBroker(server.url())];
  t.teardown(() => Promise.all([idle.stop(), rival.stop()]));
  await Promise.all([idle.start(), rival.start()]);
  const one = await openInbox(idle, ['celery'], 4);
  const two = await openInbox(rival, ['celery'], 0);
  one.subscription.pause();
  await rival.publish(textMessage('x'), { exchange: '', routingKey: 'celery' });
  await two.subscription.ack(await two.deliveries.next());
  const { activity } = one.subscription;
  one.subscription.resume();
  await eventually(t, 'it looked and found nothing', () => one.subscription.activity > activity);
  t.equal(one.deliveries.size, 0);
});

t.test('a right that is missing is an answer', { skip: withoutRights() }, async (t) => {
  const server = await RedisServer.start(t);
  const broker = redisBroker(server.url());
  t.teardown(() => broker.stop());
  await broker.start();
  const { subscription, deliveries } = await openInbox(broker, ['celery'], 4);
  server.cli('ACL', 'SETUSER', 'default', '-rpop');
  await broker.publish(textMessage('x'), { exchange: '', routingKey: 'celery' });
  for (let round = 0; round < 3; round++) {
    const { activity } = subscription;
    await eventually(t, 'it is refused once more', () => subscription.activity > activity);
  }
  t.equal(await broker.countReady('celery'), 1);
  server.cli('ACL', 'SETUSER', 'default', '+rpop');
  t.equal(textOf(await deliveries.next()), 'x');
});

t.test('out of memory is an answer, also when the lease has ended of it', async (t) => {
  const server = await RedisServer.start(t);
  const broker = redisBroker(server.url(), { broker: { workerLeaseMs: 600 } });
  t.teardown(() => broker.stop());
  await broker.start();
  const { subscription, deliveries } = await openInbox(broker, ['celery'], 4);
  subscription.pause();
  await broker.publish(textMessage('x'), { exchange: '', routingKey: 'celery' });
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  const leaseEnded = (): boolean =>
    Number(server.cli('ZSCORE', '_umbel.workers', server.cli('ZRANGE', '_umbel.workers', '0', '0'))) < now(server);
  await eventually(t, 'the lease has ended', leaseEnded);
  subscription.resume();
  for (let round = 0; round < 3; round++) {
    const { activity } = subscription;
    await eventually(t, 'it is refused once more', () => subscription.activity > activity);
  }
  t.equal(await broker.countReady('celery'), 1);
  server.cli('CONFIG', 'SET', 'maxmemory', '0');
  t.equal(textOf(await deliveries.next()), 'x');
});

function now(server: RedisServer): number {
  const [seconds, micros] = server.cli('TIME').split('\n').map(Number);
  return (seconds ?? 0) + (micros ?? 0) / 1e6;
}
