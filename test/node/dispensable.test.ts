/** A part that the server does not allow is done without; everything else that is wrong with its start ends the start. */
import t from 'tap';
import { brokerUnavailable } from '../../src/broker/amqp/unavailable.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { AmqpFailure } from '../../src/driver/amqp-failure.ts';
import { dispensable } from '../../src/node/dispensable.ts';
import { RecordingLog } from '../driver/recording-log.ts';

void t.test('what is not allowed is said, and stopped as the others', async (t) => {
  const calls: string[] = [];
  const log = new RecordingLog();
  const part = (failure: Error | null) =>
    dispensable(
      { broker: new MemoryBroker(), without: 'Nothing is heard', log },
      {
        name: 'ears',
        start: () => (failure === null ? Promise.resolve() : Promise.reject(failure)),
        stop: async () => void calls.push('stopped'),
      },
    );
  const allowed = part(null);
  t.equal(allowed.name, 'ears');
  await allowed.start();
  t.same(log.lines, []);
  const denied = part(brokerUnavailable(new AmqpFailure('denied', 'the user lacks a right')));
  await denied.start();
  t.match(log.lines, [{ level: 'warning', event: 'broker.denied', message: 'Nothing is heard: the user lacks a right' }]);
  await denied.stop();
  // A worker whose name begins with 'amq.' can have no queue of its own.
  await part(brokerUnavailable(new AmqpFailure('reserved', 'the name is the own of the server'))).start();
  t.strictSame(calls, ['stopped']);
  for (const failure of [brokerUnavailable(new AmqpFailure('auth', 'wrong password')), new Error('else')])
    await t.rejects(part(failure).start(), failure);
});
