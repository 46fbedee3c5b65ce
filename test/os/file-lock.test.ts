import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { lockPath } from '../../src/os/file-lock.ts';
import { temporaryFolder } from '../broker/sqlite/temporary-store.ts';
import { endedProcess } from './ended-process.ts';

function lockFileOf(t: Test): string {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  return folder.path('lock');
}

t.test('one at a time, and the next when it is given up', async (t) => {
  const path = lockFileOf(t);
  const first = lockPath(path);
  if (!('lock' in first)) throw new Error('it must be free');
  t.equal(readFileSync(path, 'utf8'), `${process.pid}\n`);
  t.strictSame(lockPath(path), { heldBy: `process ${process.pid}` });
  first.lock.release();
  first.lock.release();
  const second = lockPath(path);
  t.ok('lock' in second);
  if ('lock' in second) second.lock.release();
});

t.test('without flock the pid decides', async (t) => {
  const path = lockFileOf(t);
  const take = (): ReturnType<typeof lockPath> => lockPath(path, () => 'unavailable');
  const isFree = (): boolean => {
    const attempt = take();
    if ('lock' in attempt) attempt.lock.release();
    return 'lock' in attempt;
  };
  writeFileSync(path, `${process.ppid}\n`);
  t.strictSame(take(), { heldBy: `process ${process.ppid}` }, 'it runs');
  utimesSync(path, 1, 1);
  t.ok(isFree(), 'it runs, and was started later than the file was written');
  writeFileSync(path, `${await endedProcess()}\n`);
  t.ok(isFree(), 'it has ended');
  writeFileSync(path, 'nonsense');
  t.ok(isFree());
  t.ok(isFree(), 'our own, from before a restart in place');
});

t.test('a folder that is missing', async (t) => {
  t.throws(() => lockPath('/nowhere/at/all/lock'), { code: 'ENOENT' });
});
