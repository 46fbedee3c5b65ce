import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createFileSink } from '../../src/log/file-sink.ts';

const lostNotice = (lines: number, code: string): string => `lost ${lines} ${code}\n`;

t.test('appends, and follows the name after a rotation', async (t) => {
  const path = join(t.testdir(), 'worker.log');
  writeFileSync(path, 'before\n');
  let nowMs = 0;
  const sink = createFileSink({ path, lostNotice, monotonic: () => nowMs });
  t.teardown(() => sink.close());
  sink.write('one\n');
  t.equal(readFileSync(path, 'utf8'), 'before\none\n', 'the first line of a turn is written at once');

  renameSync(path, `${path}.1`);
  nowMs += 100;
  sink.write('two\n');
  sink.flushSync();
  t.notOk(existsSync(path), 'not looked at within a quarter of a second');
  nowMs += 200;
  sink.write('three\n');
  sink.flushSync();
  t.equal(readFileSync(path, 'utf8'), 'three\n');
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'before\none\ntwo\n');

  unlinkSync(path);
  sink.reopen();
  sink.write('four\n');
  sink.flushSync();
  t.equal(readFileSync(path, 'utf8'), 'four\n', 'on demand at once');

  writeFileSync(path, '');
  sink.write('five\n');
  sink.flushSync();
  t.equal(readFileSync(path, 'utf8'), 'five\n', 'no hole after copytruncate');
});

t.test('goes on with the old file while the name cannot be opened', async (t) => {
  const folder = join(t.testdir(), 'logs');
  mkdirSync(folder);
  const path = join(folder, 'worker.log');
  let nowMs = 0;
  const sink = createFileSink({ path, lostNotice, monotonic: () => nowMs });
  t.teardown(() => sink.close());
  renameSync(folder, `${folder}.old`);
  nowMs += 1000;
  sink.write('kept\n');
  sink.flushSync();
  t.equal(readFileSync(join(`${folder}.old`, 'worker.log'), 'utf8'), 'kept\n');
  mkdirSync(folder);
  nowMs += 1000;
  sink.write('back\n');
  sink.flushSync();
  t.equal(readFileSync(path, 'utf8'), 'back\n');
});

t.test('lines of one turn stay in order and are all there', async (t) => {
  const path = join(t.testdir(), 'worker.log');
  const sink = createFileSink({ path, lostNotice });
  const lines = Array.from({ length: 5000 }, (_, i) => `line ${i} ${'x'.repeat(40)}\n`);
  for (const line of lines) sink.write(line);
  sink.close();
  sink.close();
  t.equal(readFileSync(path, 'utf8'), lines.join(''));
});

t.test('a file that cannot be made is a clear error', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'missing', 'worker.log');
  t.throws(() => createFileSink({ path, lostNotice, where: '--logfile' }), {
    code: 'FILE_CANNOT_CREATE',
    message: new RegExp(`${path} \\(--logfile\\): ENOENT`),
  });
  t.throws(() => createFileSink({ path: folder, lostNotice }), { code: 'FILE_CANNOT_CREATE' });
});

t.test(
  'a full disk costs lines, not the worker, and is said afterwards',
  { skip: !existsSync('/dev/full') && 'needs /dev/full' },
  async (t) => {
    // /dev/full answers every write with ENOSPC.
    const path = join(t.testdir(), 'worker.log');
    symlinkSync('/dev/full', path);
    const sink = createFileSink({ path, lostNotice });
    t.teardown(() => sink.close());
    sink.write('first\n');
    const big = `${'x'.repeat(1023)}\n`.repeat(1024);
    for (let i = 0; i < 10; i++) sink.write(big);
    rmSync(path);
    sink.reopen();
    sink.flushSync();
    const text = readFileSync(path, 'utf8');
    t.match(text, /^first\n/);
    t.match(text, /lost \d+ ENOSPC\n$/);
    const lost = Number(/lost (\d+)/.exec(text)?.[1]);
    t.equal(text.split('\n').length - 1 - 1 + lost, 1 + 10 * 1024, 'every line is there or counted');
  },
);
