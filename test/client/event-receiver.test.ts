/** Which handler gets which event, and what becomes of one that throws. Real brokers: live/sent-events.test.ts. */
import t from 'tap';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { type EventHandlers, EventReceiver } from '../../src/client/event-receiver.ts';
import { EventDispatcher } from '../../src/event/dispatcher.ts';
import { LamportClock } from '../../src/std/lamport-clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

t.test('an event goes to the handler of its type, else to that of all others', async (t) => {
  const broker = new MemoryBroker();
  await broker.start();
  t.teardown(() => broker.stop());
  const log = new RecordingLog();
  const heard: [string, string][] = [];
  const over = Promise.withResolvers<void>();
  const receiver = new EventReceiver(
    { broker, eventExchange: 'ev', controlExchange: 'celery', log },
    {
      'task-failed': ({ type }) => {
        heard.push(['own', type]);
        throw new Error('of the handler');
      },
      'task-retried': async () => Promise.reject(new Error('later')),
      '*': ({ type }) => {
        heard.push(['*', type]);
        if (type === 'worker-offline') over.resolve();
      },
    },
    { wakeup: false },
  );
  await receiver.start();
  const dispatcher = new EventDispatcher({
    broker,
    origin: { hostname: 'w@x', pid: 1 },
    logicalClock: new LamportClock(),
    exchange: 'ev',
    log,
  });
  dispatcher.start();
  for (const type of ['task-failed', 'task-retried', 'task-sent', 'toString', 'worker-offline']) dispatcher.send(type, { uuid: 'a' });
  await over.promise;
  t.same(heard, [
    ['own', 'task-failed'],
    ['*', 'task-sent'],
    ['*', 'toString'],
    ['*', 'worker-offline'],
  ]);
  await log.event('event.handler-failed');
  t.same(
    log.lines.map(({ event, message }) => [event, message]),
    [
      ['event.handler-failed', 'a handler of task-failed has thrown: of the handler'],
      ['event.handler-failed', 'a handler of task-retried has thrown: later'],
    ],
  );
  await receiver.stop();
  dispatcher.send('task-sent', {});
  await dispatcher.stop();
  t.equal(heard.length, 4, 'stopped, it hears no more');
});

t.test('handlers must be functions, and there must be one', async (t) => {
  const source = { broker: new MemoryBroker(), eventExchange: 'ev', controlExchange: 'celery', log: new RecordingLog() };
  t.throws(() => new EventReceiver(source, {}), { code: 'USAGE', message: /got none/ });
  t.throws(() => new EventReceiver(source, { '*': 'print' } as unknown as EventHandlers), { code: 'USAGE', message: /got \*/ });
});
