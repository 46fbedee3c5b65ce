/** What is said while Redis gives no messages: not once a second, and nothing that is not so. */
import t from 'tap';
import { RefusalNotice } from '../../../src/broker/redis/refusal-notice.ts';
import { RedisFailure, type RedisFailureKind } from '../../../src/driver/redis-failure.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

t.test('once, again for another cause, and when it has passed', async (t) => {
  const log = new RecordingLog();
  const notice = new RefusalNotice(log);
  const said = (): string[] => log.lines.splice(0).map(({ level, event, message }) => `${level} ${event} ${message}`);
  const refused = (kind: RedisFailureKind, message: string): void => notice.refused(new RedisFailure(kind, message));
  notice.answered(true);
  t.strictSame(said(), [], 'nothing has been wrong');
  for (let second = 0; second < 3; second++) refused('misconf', 'no disk');
  t.strictSame(said(), ['error broker.reserve Messages cannot be fetched: no disk']);
  for (let second = 0; second < 3; second++) refused('oom', 'no memory');
  t.strictSame(said(), ['error broker.reserve Messages cannot be fetched: no memory']);
  notice.answered(false);
  notice.answered(false);
  t.strictSame(said(), ['info broker.reserving Messages are fetched again'], 'what concerns all queues has passed with the first message');
  refused('oom', 'no memory');
  t.equal(said().length, 1, 'and is said when it comes again');
});

t.test('one queue that makes trouble beside others with messages is not said to be well', async (t) => {
  for (const kind of ['command', 'permission'] as const) {
    const log = new RecordingLog();
    const notice = new RefusalNotice(log);
    for (let round = 0; round < 3; round++) {
      notice.refused(new RedisFailure(kind, 'WRONGTYPE'));
      notice.answered(false);
    }
    t.equal(log.lines.length, 1);
    notice.answered(true);
    t.match(log.lines[1], { event: 'broker.reserving' });
  }
});

t.test('a right that is missing for one list of a queue after the other is said once', async (t) => {
  const log = new RecordingLog();
  const notice = new RefusalNotice(log);
  const refused = (kind: RedisFailureKind, text: string): void => notice.refused(new RedisFailure(kind, text));
  for (const key of ['mail', 'mail9', 'mail']) refused('permission', `no right to RPOP (key ${key}) (redis://here/0)`);
  t.equal(log.lines.length, 1);
  refused('permission', 'no right to HSET (key unacked) (redis://here/0)');
  t.equal(log.lines.length, 2, 'another right');
  for (const key of ['mail', 'other']) refused('command', `WRONGTYPE (key ${key})`);
  t.equal(log.lines.length, 4, 'another key that holds something else');
});
