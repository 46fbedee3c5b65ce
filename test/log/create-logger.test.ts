import t from 'tap';
import { type CreateLoggerParams, createLogger, type RootLogger } from '../../src/log/create-logger.ts';
import type { LogRecord } from '../../src/log/line-format.ts';

const unixMs = new Date(2026, 10, 20, 8, 25, 14, 575).getTime();

function loggerTo(lines: string[], params: Partial<CreateLoggerParams> = {}, isTerminal = false): RootLogger {
  return createLogger({
    level: 'info',
    format: 'text',
    processName: 'MainProcess',
    now: () => unixMs,
    sink: { isTerminal, write: (text) => lines.push(text), flushSync() {}, reopen() {}, close() {} },
    ...params,
  });
}

t.test("Celery's default format", async (t) => {
  const lines: string[] = [];
  const log = loggerTo(lines);
  log.info('worker.ready', 'worker1@example.com ready.');
  log.warning('task.output', 'printed', { taskId: 'id' });
  log.debug('x', 'not written');
  t.same(lines, [
    '[2026-11-20 08:25:14,575: INFO/MainProcess] worker1@example.com ready.\n',
    '[2026-11-20 08:25:14,575: WARNING/MainProcess] printed\n',
  ]);
});

t.test('a traceback is below its line', async (t) => {
  const lines: string[] = [];
  loggerTo(lines).error('task.failed', 'Task a[b] raised unexpected: X()', { taskId: 'b', traceback: 'Traceback:\n  at x\n\n' });
  t.equal(lines.join(''), '[2026-11-20 08:25:14,575: ERROR/MainProcess] Task a[b] raised unexpected: X()\nTraceback:\n  at x\n');
});

t.test('task code speaks under the name of its child and its task', async (t) => {
  const lines: string[] = [];
  const voice = loggerTo(lines).as({ processName: 'PoolChild-1', voice: 'task' });
  voice.info('task.log', 'hello', { taskId: 'id1', taskName: 'tasks.add' });
  voice.info('task.log', 'outside');
  voice.info('task.log', 'two\nlines', { taskId: 'id1\n[2026', taskName: 'tasks.add' });
  t.same(lines, [
    '[2026-11-20 08:25:14,575: INFO/PoolChild-1] tasks.add[id1]: hello\n',
    '[2026-11-20 08:25:14,575: INFO/PoolChild-1] outside\n',
    '[2026-11-20 08:25:14,575: INFO/PoolChild-1] tasks.add[id1\\n[2026]: two\nlines\n',
  ]);
});

t.test('JSON: one object on one line, whatever is in it', async (t) => {
  const lines: string[] = [];
  const log = loggerTo(lines, { format: 'json' });
  const circular: Record<string, unknown> = { big: 12345678901234567890n };
  circular.self = circular;
  log.error('task.failed', 'two\nlines', { taskId: 'id', traceback: 'a\nb', level: 'mine', error: new TypeError('bad'), circular });
  const throwing = {
    toJSON() {
      throw new Error('no');
    },
  };
  log.info('x', 'still said', { throwing });
  t.equal(lines.length, 2);
  for (const line of lines) t.match(line, /^[^\n]+\n$/);
  const first = JSON.parse(lines[0] ?? '');
  t.match(first, {
    ts: new Date(unixMs).toISOString(),
    level: 'error',
    process: 'MainProcess',
    event: 'task.failed',
    message: 'two\nlines',
    taskId: 'id',
    traceback: 'a\nb',
    _level: 'mine',
    error: /^TypeError: bad\n/,
    circular: { big: '12345678901234567890', self: '[circular]' },
  });
  t.match(JSON.parse(lines[1] ?? ''), { event: 'x', message: 'still said', unwritable: /no/ });
});

t.test('colours: on a terminal, in text, unless refused', async (t) => {
  const say = (params: Partial<CreateLoggerParams>, isTerminal: boolean): string => {
    const lines: string[] = [];
    loggerTo(lines, params, isTerminal).error('x', 'red');
    return lines.join('');
  };
  const noColor = process.env.NO_COLOR;
  delete process.env.NO_COLOR;
  t.teardown(() => {
    if (noColor === undefined) delete process.env.NO_COLOR;
    else process.env.NO_COLOR = noColor;
  });
  t.match(say({}, true), '\x1b[1;31mred\x1b[0m\n');
  t.notMatch(say({}, false), '\x1b');
  t.notMatch(say({ color: false }, true), '\x1b');
  t.notMatch(say({ format: 'json' }, true), '\\u001b');
  process.env.NO_COLOR = '1';
  t.notMatch(say({}, true), '\x1b');
});

t.test('the level can change for all voices, and a trace sees everything', async (t) => {
  const lines: string[] = [];
  const quiet = loggerTo(lines, { level: 'warning' });
  t.notOk(quiet.enabled('info'));
  const voice = quiet.as({ voice: 'task' });
  quiet.setLevel('debug');
  t.equal(quiet.level, 'debug');
  t.ok(voice.enabled('debug'));
  voice.debug('x', 'now');
  t.equal(lines.length, 1);

  const records: LogRecord[] = [];
  const traced = loggerTo(lines, { level: 'critical', trace: (record) => records.push(record) });
  t.ok(traced.enabled('debug'), 'callers must build the text');
  traced.debug('pool.child_ready', 'child 1', { index: 1 });
  t.match(records, [{ event: 'pool.child_ready', level: 'debug', fields: { index: 1 } }]);
  t.equal(lines.length, 1, 'not written');
});

t.test('seconds and days roll over', async (t) => {
  let now = new Date(2026, 11, 31, 23, 59, 59, 999).getTime();
  const lines: string[] = [];
  const log = loggerTo(lines, { now: () => now });
  log.info('x', 'old');
  now += 1;
  log.info('x', 'new');
  t.match(lines, [/^\[2026-12-31 23:59:59,999: /, /^\[2027-01-01 00:00:00,000: /]);
});
