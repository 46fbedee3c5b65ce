import t from 'tap';
import { TimeLimitNotes } from '../../src/consumer/time-limit-notes.ts';
import { noTimeLimit, type TimeLimit } from '../../src/pool/time-limits.ts';
import { encodeTask, readReceipt, type TaskHeader } from '../../src/protocol/task-message.ts';
import { redisBroker } from '../broker/redis/redis-place.ts';
import { RecordingLog } from '../driver/recording-log.ts';

const pool = { name: 'prefork' as const, features: { resize: true, terminate: true, memoryLimits: true } };

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
  const notes = new TimeLimitNotes({ visibilityTimeoutMs, pool, log });
  const warned = (): unknown[] => log.lines.filter(({ event }) => event === 'task.limit-visibility').map(({ fields }) => fields);
  notes.note(header('short', 60, 90));
  notes.note(header('none', null));
  t.strictSame(warned(), []);
  notes.note(header('short', 60.5));
  notes.note(header('short', 61));
  notes.note(header('long', 3600));
  t.strictSame(warned(), [{ taskNames: ['short'] }, { taskNames: ['long'] }]);
  const [first] = log.lines.filter(({ event }) => event === 'task.limit-visibility');
  t.match(first, { level: 'warning', message: /visibility_timeout should be longer .* got 60 s, and 60\.5 s for short$/ });
  t.equal(redisBroker('redis://localhost').features.visibilityTimeoutMs, 3_600_000, 'an hour unless given');
  t.end();
});

t.test('at the start: what the worker and its tasks say', (t) => {
  const log = new RecordingLog();
  const notes = new TimeLimitNotes({ visibilityTimeoutMs: 60_000, pool, log });
  const limits: Record<string, TimeLimit> = {
    hard: { hardSeconds: 61, softSeconds: 10 },
    'celery.chain': { hardSeconds: 61, softSeconds: 10 },
    'as hard': { hardSeconds: 61, softSeconds: null },
    soft: { hardSeconds: null, softSeconds: 70 },
    fine: { hardSeconds: 60, softSeconds: 50 },
    none: { hardSeconds: null, softSeconds: null },
  };
  notes.noteTypes(Object.keys(limits), (name) => limits[name] ?? noTimeLimit);
  t.match(log.lines, [
    { level: 'warning', event: 'task.limit-visibility', message: /got 60 s, and 61 s for hard, as hard$/ },
    { level: 'warning', event: 'task.limit-visibility', message: /got 60 s, and 70 s for soft$/ },
  ]);
  notes.note(header('hard', 100));
  notes.note(header('as hard', 100));
  t.equal(log.lines.length, 2, 'a line for each limit, and once per type');
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
  new TimeLimitNotes({ visibilityTimeoutMs: null, pool, log }).noteTypes(Object.keys(limits), (name) => limits[name] ?? noTimeLimit);
  const said = log.lines.filter(({ event }) => event === 'task.soft-limit-too-late').map(({ message }) => message);
  t.strictSame(said, [
    'a soft time limit must be below the hard one, or the child is killed first: got 5 s and 3 s for a, b',
    'a soft time limit must be below the hard one, or the child is killed first: got 7 s and 7 s for same',
  ]);
  t.end();
});

t.test('nor does one in a message, with what the type says where the message is silent: said once per type', (t) => {
  const log = new RecordingLog();
  const limits: Record<string, TimeLimit> = {
    typed: { hardSeconds: 3, softSeconds: null },
    known: { hardSeconds: 3, softSeconds: 5 },
  };
  const notes = new TimeLimitNotes({ visibilityTimeoutMs: null, pool, log });
  notes.noteTypes(Object.keys(limits), (name) => limits[name] ?? noTimeLimit);
  const before = log.lines.length;
  notes.note(header('right', 5, 4));
  notes.note(header('soft', null, 4));
  notes.note(header('typed', null, 2));
  notes.note(header('known', 1, 2));
  t.equal(log.lines.length, before);
  notes.note(header('both', 4, 4));
  notes.note(header('both', 4, 5));
  notes.note(header('typed', null, 3));
  t.match(log.lines.slice(before), [
    {
      level: 'warning',
      event: 'task.soft-limit-too-late',
      message: 'a soft time limit must be below the hard one, or the child is killed first: got 4 s and 4 s for a message of both',
      fields: { taskNames: ['both'] },
    },
    { message: /got 3 s and 3 s for a message of typed$/ },
  ]);
  t.equal(log.lines.length, before + 2);
  t.end();
});

t.test('a pool that can end no task: hard limits are warned of', (t) => {
  const limits: Record<string, TimeLimit> = {
    a: { hardSeconds: 3, softSeconds: 2 },
    b: { hardSeconds: null, softSeconds: 2 },
    c: { hardSeconds: 4, softSeconds: null },
  };
  const said = (terminate: boolean, names: readonly string[]): unknown[] => {
    const log = new RecordingLog();
    const solo = { name: 'solo' as const, features: { resize: false, terminate, memoryLimits: false } };
    new TimeLimitNotes({ visibilityTimeoutMs: null, pool: solo, log }).noteTypes(names, (name) => limits[name] ?? noTimeLimit);
    return log.lines.map(({ level, event, message }) => [level, event, message]);
  };
  const text = "a hard time limit needs a pool that can end a running task, got 'solo', which only says that it is over: a, c";
  t.strictSame(said(false, ['a', 'b', 'c']), [['warning', 'task.hard-limit-unenforced', text]]);
  t.strictSame(said(false, ['b']), []);
  t.strictSame(said(true, ['a', 'b', 'c']), []);
  t.end();
});

t.test('a broker without such a timeout', (t) => {
  const log = new RecordingLog();
  const notes = new TimeLimitNotes({ visibilityTimeoutMs: null, pool, log });
  notes.note(header('long', 1e9));
  notes.note(header('soft', null, 5));
  notes.note(header('soft', null, 5));
  notes.noteTypes(['long'], () => ({ hardSeconds: 1e9, softSeconds: null }));
  t.strictSame(log.lines, []);
  t.end();
});
