import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { StateDb } from '../../src/statedb/state-db.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { temporaryFolder } from '../broker/sqlite/temporary-store.ts';
import { RecordingLog } from '../driver/recording-log.ts';

t.test('revoked ids and the clock survive, also without a farewell', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('worker.state');
  const log = new RecordingLog();
  const first = new StateDb({ path, log });
  await first.start();
  t.equal(first.isRevoked('a'), false);
  first.revoke(['a', 'b']);
  first.logicalClock = 17;
  await first.stop();
  await first.stop();
  const second = new StateDb({ path, log });
  await second.start();
  t.ok(second.isRevoked('a') && second.isRevoked('b') && !second.isRevoked('c'));
  t.equal(second.logicalClock, 17);
  await second.stop();
  t.strictSame(log.lines, []);
});

t.test('bounded in number and age, in memory and in the file', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('worker.state');
  const clock = new FakeClock();
  const params = { path, log: new RecordingLog(), clock, maxRevoked: 3, maxAgeMs: 1000 };
  const state = new StateDb(params);
  await state.start();
  state.revoke(['a']);
  clock.advance(600);
  state.revoke(['b', 'c', 'a']);
  t.strictSame([...state.revoked().keys()], ['a', 'b', 'c'], 'revoking again does not make it younger');
  state.revoke(['d']);
  t.strictSame([...state.revoked().keys()], ['b', 'c', 'd'], 'the oldest goes first');
  t.equal(state.isRevoked('a'), false);
  await state.stop();
  clock.advance(500);
  const again = new StateDb(params);
  await again.start();
  t.strictSame([...again.revoked().keys()].sort(), ['b', 'c', 'd']);
  clock.advance(500);
  t.equal(again.isRevoked('b'), false);
  t.equal(again.revoked().size, 0);
  await again.stop();
});

t.test('one worker at a time', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('worker.state');
  const log = new RecordingLog();
  const first = new StateDb({ path, log });
  const second = new StateDb({ path, log });
  await first.start();
  await t.rejects(second.start(), { code: 'STATEDB_IN_USE', message: /worker\.state is in use by another process/ });
  await second.stop();
  await first.stop();
  await second.start();
  await second.stop();
});

t.test('a file of another kind is refused and not touched', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('passwd');
  writeFileSync(path, 'root:x:0:0:root:/root:/bin/bash\n');
  const log = new RecordingLog();
  await t.rejects(new StateDb({ path, log }).start(), { code: 'FILE_CANNOT_CREATE', message: /left as it is: .*passwd/ });
  t.equal(readFileSync(path, 'utf8'), 'root:x:0:0:root:/root:/bin/bash\n');
  t.same(readdirSync(folder.path('.')), ['passwd']);
  t.same(log.lines, []);
});

t.test('a damaged file is set aside, not deleted', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('worker.state');
  writeFileSync(path, `SQLite format 3\0${'torn page '.repeat(1000)}`);
  const log = new RecordingLog();
  const state = new StateDb({ path, log });
  await state.start();
  state.revoke(['a']);
  await state.stop();
  t.match(log.lines, [{ level: 'warning', event: 'statedb.damaged', message: /set aside as .*worker\.state\.damaged-/ }]);
  t.equal(readdirSync(folder.path('.')).filter((name) => name.startsWith('worker.state.damaged-')).length, 1);
});

t.test('without a path, and in a missing folder', async (t) => {
  const log = new RecordingLog();
  const state = new StateDb({ path: null, log });
  await state.start();
  state.revoke(['a']);
  t.equal(state.isRevoked('a'), true);
  await state.stop();
  await t.rejects(new StateDb({ path: '/nowhere/at/all/state', log }).start(), {
    code: 'FILE_CANNOT_CREATE',
    message: /folder.*\/nowhere\/at\/all/,
  });
});
