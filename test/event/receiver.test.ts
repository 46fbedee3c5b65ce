/** A receiver hears single events and lists, follows the clocks of workers, and survives what is no event. */
import t from 'tap';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../src/broker/memory/memory-hub.ts';
import { EventReceiver, type ReceivedEvent } from '../../src/event/receiver.ts';
import { encodeEvents, makeEvent } from '../../src/protocol/event.ts';
import type { Message } from '../../src/protocol/message.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { LamportClock } from '../../src/std/lamport-clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

const origin = { hostname: 'w@h', pid: 7 };
const make = (type: string, clock: number, fields = {}) => makeEvent(type, origin, clock, 5000, -2, fields);

t.test('what is sent is heard', async (t) => {
  const broker = new MemoryBroker({ hub: new MemoryHub() });
  await broker.start();
  t.teardown(() => broker.stop());
  const heard: ReceivedEvent[] = [];
  const log = new RecordingLog();
  const logicalClock = new LamportClock();
  const clock = new FakeClock();
  const receiver = new EventReceiver({
    broker,
    exchange: 'celeryev',
    acceptContent: ['json'],
    logicalClock,
    queuePrefix: 'celeryev',
    queueTtlMs: 5000,
    queueExpiresMs: 60_000,
    clock,
    log,
    onEvent: (event) => heard.push(event),
  });
  await receiver.start();
  const send = (message: Message, routingKey: string) => broker.publish(message, { exchange: 'celeryev', routingKey });
  await send(encodeEvents(make('worker-online', 10), 'w@h'), 'worker.online');
  await send(encodeEvents([make('task-received', 11, { uuid: 'a' }), make('task-started', 12, { uuid: 'a' })], 'w@h'), 'task.multi');
  await send(encodeEvents([], 'w@h'), 'task.multi');
  await send({ properties: { contentType: 'application/json', contentEncoding: 'utf-8' }, headers: null, body: Buffer.from('5') }, 'x');
  await log.event('event.undecodable');
  t.same(
    heard.map(({ type, clock: at }) => [type, at]),
    [
      ['worker-online', 10],
      ['task-received', 11],
      ['task-started', 12],
    ],
  );
  t.match(heard[0], { timestamp: 5, utcoffset: -2, local_received: clock.now() / 1000 });
  t.equal(logicalClock.value, 13, 'behind all of them');

  await send(encodeEvents(make('task-sent', 5000, { uuid: 'b' }), 'gen1@h'), 'task.sent');
  const { clock: _, ...without } = make('worker-heartbeat', 0);
  await send(encodeEvents(without as never, 'w@h'), 'worker.heartbeat');
  while (heard.length < 5) await new Promise((resolve) => setImmediate(resolve));
  t.same(
    heard.slice(3).map((event) => event.clock),
    [12, 15],
    'the clock of a client does not count; one without gets ours',
  );
  await receiver.stop();
  await send(encodeEvents(make('worker-online', 20), 'w@h'), 'worker.online');
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(heard.length, 5);
});
