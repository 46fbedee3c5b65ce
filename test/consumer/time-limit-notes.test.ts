import t from 'tap';
import { TimeLimitNotes } from '../../src/consumer/time-limit-notes.ts';
import { encodeTask, readReceipt, type TaskHeader } from '../../src/protocol/task-message.ts';
import { redisBroker } from '../broker/redis/redis-place.ts';
import { RecordingLog } from '../driver/recording-log.ts';

/** As it comes out of a message: `timelimit` is [hard, soft]. */
function header(task: string, hardTimeLimitSeconds: number | null, softTimeLimitSeconds: number | null = null): TaskHeader {
  const receipt = readReceipt(
    encodeTask({ id: 'id', task, args: [], kwargs: {}, origin: 'test', hardTimeLimitSeconds, softTimeLimitSeconds }),
  );
  if (receipt.kind !== 'task') throw new Error(receipt.kind);
  return receipt.header;
}

t.test('a hard limit beyond the visibility timeout is warned of, once per task', (t) => {
  const log = new RecordingLog();
  const { visibilityTimeoutMs } = redisBroker('redis://localhost', { broker: { visibilityTimeoutMs: 60_000 } }).features;
  const notes = new TimeLimitNotes({ visibilityTimeoutMs, log });
  const warned = (): unknown[] => log.lines.filter(({ event }) => event === 'task.limit-visibility').map(({ fields }) => fields);
  notes.note(header('short', 60, 90));
  notes.note(header('none', null));
  t.strictSame(warned(), []);
  notes.note(header('short', 60.5));
  notes.note(header('short', 61));
  notes.note(header('long', 3600));
  t.strictSame(warned(), [{ taskName: 'short' }, { taskName: 'long' }]);
  const [first] = log.lines.filter(({ event }) => event === 'task.limit-visibility');
  t.match(first, { level: 'warning', message: /visibility_timeout should be longer .* got 60 s, and 60\.5 s for short$/ });
  t.equal(redisBroker('redis://localhost').features.visibilityTimeoutMs, 3_600_000, 'an hour unless given');
  t.end();
});

t.test('a broker without such a timeout', (t) => {
  const log = new RecordingLog();
  const notes = new TimeLimitNotes({ visibilityTimeoutMs: null, log });
  notes.note(header('long', 1e9));
  notes.note(header('soft', null, 5));
  notes.note(header('soft', null, 5));
  t.strictSame(
    log.lines.map(({ event, fields }) => [event, fields?.taskName]),
    [
      ['task.limit-unsupported', 'long'],
      ['task.limit-unsupported', 'soft'],
    ],
  );
  t.end();
});
