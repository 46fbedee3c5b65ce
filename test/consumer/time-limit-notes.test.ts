import t from 'tap';
import { TimeLimitNotes } from '../../src/consumer/time-limit-notes.ts';
import { noTimeLimit, type TimeLimit } from '../../src/pool/time-limits.ts';
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

t.test('at the start: what the worker and its tasks say', (t) => {
  const log = new RecordingLog();
  const notes = new TimeLimitNotes({ visibilityTimeoutMs: 60_000, log });
  const limits: Record<string, TimeLimit> = {
    hard: { hardSeconds: 61, softSeconds: 10 },
    soft: { hardSeconds: null, softSeconds: 70 },
    fine: { hardSeconds: 60, softSeconds: 50 },
    none: { hardSeconds: null, softSeconds: null },
  };
  notes.noteTypes(Object.keys(limits), (name) => limits[name] ?? noTimeLimit);
  t.match(log.lines, [
    { level: 'warning', event: 'task.limit-visibility', message: /got 60 s, and 61 s for hard$/ },
    { level: 'warning', event: 'task.limit-visibility', message: /got 60 s, and 70 s for soft$/ },
  ]);
  notes.note(header('hard', 100));
  t.equal(log.lines.length, 2, 'once per type');
  t.end();
});

t.test('a soft limit that is not below the hard one never comes', (t) => {
  const log = new RecordingLog();
  const limits: Record<string, TimeLimit> = {
    a: { hardSeconds: 3, softSeconds: 5 },
    b: { hardSeconds: 3, softSeconds: 5 },
    same: { hardSeconds: 7, softSeconds: 7 },
    right: { hardSeconds: 7, softSeconds: 6 },
    hard: { hardSeconds: 7, softSeconds: null },
    soft: { hardSeconds: null, softSeconds: 7 },
  };
  new TimeLimitNotes({ visibilityTimeoutMs: null, log }).noteTypes(Object.keys(limits), (name) => limits[name] ?? noTimeLimit);
  const said = log.lines.filter(({ event }) => event === 'task.soft-limit-too-late').map(({ message }) => message);
  t.strictSame(said, [
    'a soft time limit must be below the hard one, or the child is killed first: got 5 s and 3 s for a, b',
    'a soft time limit must be below the hard one, or the child is killed first: got 7 s and 7 s for same',
  ]);
  t.end();
});

t.test('a broker without such a timeout', (t) => {
  const log = new RecordingLog();
  const notes = new TimeLimitNotes({ visibilityTimeoutMs: null, log });
  notes.note(header('long', 1e9));
  notes.note(header('soft', null, 5));
  notes.note(header('soft', null, 5));
  notes.noteTypes(['long'], () => ({ hardSeconds: 1e9, softSeconds: null }));
  t.strictSame(log.lines, []);
  t.end();
});
