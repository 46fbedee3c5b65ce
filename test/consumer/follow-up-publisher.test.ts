/** How long what follows from a task is tried to be sent. (What its task's end waits for is settle-failure.test.ts.) */
import t from 'tap';
import { FollowUpPublisher } from '../../src/consumer/follow-up-publisher.ts';
import { type ErrorCode, UmbelError } from '../../src/errors.ts';
import type { FollowUp } from '../../src/pool/job.ts';
import { Producer } from '../../src/producer/producer.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { queueTable, Recorder, RecordingBroker, settled } from './doubles.ts';

const properties = { contentType: 'application/json', contentEncoding: 'utf-8' };
const followUp: FollowUp = {
  meta: { taskName: 'tasks.next', taskId: 'next', headers: {}, properties, route: { queue: 'celery' }, dueAtMs: null },
  body: Buffer.from('[]'),
};

function bench() {
  const recorder = new Recorder();
  const broker = new RecordingBroker(recorder);
  const clock = new FakeClock();
  const producer = new Producer({ broker, queues: queueTable() });
  const publisher = new FollowUpPublisher({ broker, backend: null, producer, log: new RecordingLog(), clock });
  const tries = (): number => recorder.names.filter((name) => name === 'publish').length;
  /** Until so many have been made; no pause is longer than 2 s. */
  const afterTries = async (count: number): Promise<void> => {
    for (let step = 0; step < 2 * count; step++) {
      await settled();
      if (tries() >= count) return;
      clock.advance(2000);
    }
    throw new Error(`there must be ${count} tries, got ${tries()}`);
  };
  const failWith = (code: ErrorCode): void => recorder.fail('publish', new UmbelError(code, 'not now'));
  return { recorder, broker, publisher, tries, afterTries, failWith };
}

t.test('while only the way to publish is away, as long as it takes, whatever its signature says', async (t) => {
  const { recorder, broker, publisher, tries, afterTries, failWith } = bench();
  failWith('BROKER_LOST');
  const route = { queue: 'celery', retry: false, retryPolicy: { maxRetries: 0 } };
  const published = publisher.publish([{ ...followUp, meta: { ...followUp.meta, route } }]);
  await afterTries(20);
  recorder.fail('publish', null);
  await afterTries(21);
  await published;
  t.equal(broker.published.length, 1);
  t.equal(tries(), 21);
});

t.test('a refusal counts, also between losses', async (t) => {
  const { publisher, tries, afterTries, failWith } = bench();
  failWith('BROKER_LOST');
  const rejected = t.rejects(publisher.publish([followUp]), { code: 'BROKER_FULL' });
  await afterTries(3);
  failWith('BROKER_FULL');
  await afterTries(7);
  await rejected;
  t.equal(tries(), 7, 'four refusals');
});

t.test('the end of the broker ends the trying', async (t) => {
  const { broker, publisher, afterTries, failWith } = bench();
  failWith('BROKER_LOST');
  const rejected = t.rejects(publisher.publish([followUp]), { code: 'BROKER_LOST' });
  await afterTries(2);
  broker.enter('stopped');
  await afterTries(3);
  await rejected;
});
