import { existsSync, readFileSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createLogger } from '../../src/log/create-logger.ts';
import type { LogRecord } from '../../src/log/line-format.ts';
import { lockFile } from '../../src/os/libc.ts';
import { acquirePidfile } from '../../src/os/pidfile.ts';
import { startScript } from './script-process.ts';

const records: LogRecord[] = [];
const log = createLogger({
  level: 'critical',
  format: 'text',
  processName: 'MainProcess',
  trace: (record) => records.push(record),
  sink: { isTerminal: false, write() {}, flushSync() {}, reopen() {}, close() {} },
});
const inHour = Date.now() / 1000 + 3600;

t.beforeEach(() => {
  records.length = 0;
});

/** Another process that holds the pid file until it is killed. */
const holding = `
const { acquirePidfile } = await import(src + '/os/pidfile.ts');
const { createLogger } = await import(src + '/log/create-logger.ts');
const log = createLogger({ level: 'debug', format: 'text', processName: 'MainProcess' });
try {
  globalThis.pidfile = acquirePidfile(process.argv[1], log);
  console.log('mine');
  setInterval(() => {}, 1000);
} catch (error) {
  console.log(error.code);
}
`;

t.test('made, held and removed', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'worker.pid');
  const pidfile = acquirePidfile(path, log);
  t.equal(readFileSync(path, 'utf8'), `${process.pid}\n`);
  t.equal(statSync(path).mode & 0o777, 0o644);
  t.equal(statSync(path).nlink, 1, 'nothing is left beside it');
  pidfile.release();
  pidfile.release();
  t.notOk(existsSync(path));
});

t.test('a running worker keeps another one out', async (t) => {
  const path = join(t.testdir(), 'worker.pid');
  const other = startScript(t, holding, { args: [path] });
  await other.line(/^mine/);
  t.throws(() => acquirePidfile(path, log), {
    code: 'PIDFILE_EXISTS',
    exitStatus: 73,
    message: `Pidfile (${path}) already exists. Seems we're already running? (pid: ${other.pid})`,
  });
  t.equal(readFileSync(path, 'utf8'), `${other.pid}\n`);

  other.child.kill('SIGKILL');
  await other.ended;
  const pidfile = acquirePidfile(path, log);
  t.match(records, [{ event: 'pidfile.stale', level: 'warning', message: /^Stale pidfile exists - Removing it\./ }]);
  t.equal(readFileSync(path, 'utf8'), `${process.pid}\n`);
  pidfile.release();
});

t.test('of ten that start at once over a stale file, one gets it', async (t) => {
  const path = join(t.testdir(), 'worker.pid');
  writeFileSync(path, '4194303\n');
  const scripts = Array.from({ length: 10 }, () => startScript(t, holding, { args: [path] }));
  const said = await Promise.all(scripts.map((script) => script.line(/^(mine|PIDFILE_EXISTS)/)));
  t.same(said.toSorted(), [...Array.from({ length: 9 }, () => 'PIDFILE_EXISTS'), 'mine']);
  t.equal(readFileSync(path, 'utf8'), `${scripts[said.indexOf('mine')]?.pid}\n`);
});

t.test('a pid file of Celery, which locks nothing', async (t) => {
  const path = join(t.testdir(), 'worker.pid');
  const other = startScript(t, `console.log('up'); setInterval(() => {}, 1000);`);
  await other.line(/^up/);
  writeFileSync(path, `${other.pid}\n`);
  t.throws(() => acquirePidfile(path, log), { code: 'PIDFILE_EXISTS' }, 'its process runs');

  utimesSync(path, 1000, 1000);
  const pidfile = acquirePidfile(path, log);
  t.match(records, [{ event: 'pidfile.stale' }], 'a process that started after the file was written has only got the same pid');
  pidfile.release();
});

t.test('our own pid without a lock: from before an exec', async (t) => {
  const path = join(t.testdir(), 'worker.pid');
  writeFileSync(path, `${process.pid}\n`);
  utimesSync(path, inHour, inHour);
  const { ino } = statSync(path);
  const pidfile = acquirePidfile(path, log);
  t.equal(statSync(path).ino, ino);
  t.same(records, []);
  t.throws(() => acquirePidfile(path, log), { code: 'PIDFILE_EXISTS' }, 'held again');
  pidfile.release();
  t.notOk(existsSync(path));
});

t.test('our own pid with a lock: a worker in another container', async (t) => {
  const path = join(t.testdir(), 'worker.pid');
  const other = startScript(t, holding, { args: [path] });
  await other.line(/^mine/);
  writeFileSync(path, `${process.pid}\n`);
  t.throws(() => acquirePidfile(path, log), { code: 'PIDFILE_EXISTS' });
});

t.test('what is no pid is replaced with a warning', async (t) => {
  const path = join(t.testdir(), 'worker.pid');
  for (const text of ['', 'abc\n', `${process.pid}`, '-1\n', '0\n', '12 34\n']) {
    records.length = 0;
    writeFileSync(path, text);
    acquirePidfile(path, log).release();
    t.match(
      records,
      [{ event: 'pidfile.broken', level: 'warning', message: /^Broken pidfile found - Removing it\./ }],
      JSON.stringify(text),
    );
  }
});

t.test('a file that is not ours any more is not removed', async (t) => {
  const path = join(t.testdir(), 'worker.pid');
  const pidfile = acquirePidfile(path, log);
  renameSync(path, `${path}.old`);
  writeFileSync(path, '1\n');
  pidfile.release();
  t.equal(readFileSync(path, 'utf8'), '1\n');
});

t.test('a missing folder and a folder in its place are clear errors', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'missing', 'worker.pid');
  t.throws(() => acquirePidfile(path, log), { code: 'FILE_CANNOT_CREATE', message: new RegExp(`got ${path}: ENOENT`) });
  t.throws(() => acquirePidfile(folder, log), { code: 'FILE_CANNOT_CREATE' });
  t.equal(lockFile(-1), 'busy', 'this platform has locks');
});

t.test('a file that cannot have been a pid file is refused and not touched', async (t) => {
  const path = join(t.testdir(), 'tasks.ts');
  const text = `export const add = (a: number, b: number) => a + b;\n`.repeat(3);
  writeFileSync(path, text);
  t.throws(() => acquirePidfile(path, log), { code: 'FILE_CANNOT_CREATE', message: /no pid file, which is left as it is/ });
  t.equal(readFileSync(path, 'utf8'), text);
});
