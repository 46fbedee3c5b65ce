/** How far a consumer of broadcasts may fall behind. What it gets: redis-broker.test.ts. */
import t from 'tap';
import { BroadcastQueues } from '../../../src/broker/redis/broadcast-queues.ts';
import { KeyLayout } from '../../../src/broker/redis/key-layout.ts';
import type { RedisConnection } from '../../../src/driver/redis.ts';
import { encodeEnvelope } from '../../../src/protocol/virtual-envelope.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { textMessage, textOf } from '../inbox.ts';

t.test('10,000 behind: the oldest go, and it is said once until it has caught up', async (t) => {
  let hear: (payload: string) => void = () => {};
  const subscribe = async (_channel: string, onMessage: typeof hear) => {
    hear = onMessage;
    return async () => {};
  };
  const connection = { epoch: 1, subscriber: { subscribe, psubscribe: subscribe } } as unknown as RedisConnection;
  const log = new RecordingLog();
  const queues = new BroadcastQueues({ connection, layout: new KeyLayout({}, 0), clock: new FakeClock(), log, onArrival: () => {} });
  await queues.add('news', 'news');
  let sent = 0;
  const send = (count: number): void => {
    for (let n = 0; n < count; n++)
      hear(encodeEnvelope(textMessage(String(sent++)), { exchange: 'news', routingKey: '', deliveryTag: 'tag' }));
  };
  const taken = (): string => {
    const delivery = queues.take();
    return delivery === undefined ? 'none' : textOf(delivery);
  };
  send(10_000);
  t.strictSame(log.lines, []);
  send(5);
  t.equal(queues.waiting, 10_000);
  t.equal(taken(), '5', 'the oldest that is left');
  send(3);
  t.equal(taken(), '8');
  t.match(log.lines, [{ level: 'error', event: 'broker.broadcast', message: /^Queue news is 10000 broadcasts behind/ }]);
  t.equal(log.lines.length, 1);
  for (let n = 0; n < 6000; n++) taken();
  send(7000);
  t.equal(log.lines.length, 2, 'and again when it had caught up');
});
