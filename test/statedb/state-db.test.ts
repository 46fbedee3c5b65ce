/** The state database: what survives, what is set aside, and who may have it. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { lockPath } from '../../src/os/file-lock.ts';
import { type Stamp, StateDb } from '../../src/statedb/state-db.ts';
import { StateFile } from '../../src/statedb/state-file.ts';
import { readState } from '../../src/statedb/state-record.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { temporaryFolder } from '../broker/sqlite/temporary-store.ts';
import { RecordingLog } from '../driver/recording-log.ts';

interface Bench {
  readonly path: string;
  readonly clock: FakeClock;
  readonly log: RecordingLog;
  make(more?: { maxRevoked?: number; maxAgeMs?: number }): StateDb;
  /** A worker that starts anew. */
  open(): Promise<StateDb>;
  files(): string[];
}

function bench(t: Test): Bench {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('worker.state');
  const clock = new FakeClock();
  const log = new RecordingLog();
  const opened: StateDb[] = [];
  t.teardown(() => Promise.all(opened.map((state) => state.stop())));
  const make: Bench['make'] = (more = {}) => {
    const state = new StateDb({ path, log, clock, lock: lockPath, ...more });
    opened.push(state);
    return state;
  };
  const open = async (): Promise<StateDb> => {
    const state = make();
    await state.start();
    return state;
  };
  return { path, clock, log, make, open, files: () => readdirSync(folder.path('.')).sort() };
}

const ids = (state: StateDb): string[] => [...state.revoked()].map(([id]) => id);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const stamp: Stamp = ['monitoring_id', '"m-1"'];

t.test('ids, stamps and the clock survive', async (t) => {
  const { open, log, clock, files } = bench(t);
  const first = await open();
  t.equal(first.isRevoked('a'), false);
  t.equal(first.hasRevokedStamps, false);
  first.revoke(['a', 'b']);
  first.revokeStamps([stamp]);
  first.logicalClock = 17;
  await first.stop();
  await first.stop();
  clock.advance(3_600_000);
  const second = await open();
  t.strictSame(
    [...second.revoked()],
    [
      ['a', 3_600_000],
      ['b', 3_600_000],
    ],
  );
  t.ok(second.isRevoked('a') && !second.isRevoked('c'));
  t.ok(second.isStampRevoked(stamp) && !second.isStampRevoked(['monitoring_id', '"m-2"']) && !second.isStampRevoked(['other', '"m-1"']));
  t.equal(second.logicalClock, 17);
  t.strictSame(log.lines, []);
  t.strictSame(files(), ['worker.state', 'worker.state.lock']);
});

t.test('revokes are in the file by the end of the turn, the clock a moment later, and nothing is written for nothing', async (t) => {
  const { open, path, clock } = bench(t);
  const state = await open();
  const before = readFileSync(path, 'utf8');
  state.revoke(['a']);
  state.revoke(['b']);
  t.equal(readFileSync(path, 'utf8'), before, 'all of a turn is one line');
  await turn();
  const added = readFileSync(path, 'utf8').slice(before.length);
  t.match(added, /^[0-9a-f]{8} \{"ids":\[\["a",\d+\],\["b",\d+\]\]\}\n$/);
  state.logicalClock = 5;
  state.logicalClock = 6;
  await turn();
  t.equal(readFileSync(path, 'utf8').length, before.length + added.length);
  clock.advance(1000);
  t.match(readFileSync(path, 'utf8').slice(before.length + added.length), /^[0-9a-f]{8} \{"clock":6\}\n$/);
  const after = readFileSync(path, 'utf8');
  state.logicalClock = 6;
  state.flush();
  clock.advance(5000);
  await turn();
  t.equal(readFileSync(path, 'utf8'), after);
  state.revoke(['c']);
  state.flush();
  t.match(readFileSync(path, 'utf8'), /\["c",\d+\]/, 'at once when asked');
});

t.test('the file stays small, whatever is added and forgotten', async (t) => {
  const { make, path, clock } = bench(t);
  const state = make({ maxRevoked: 100 });
  await state.start();
  let largest = 0;
  for (let count = 0; count < 5000; count += 1) {
    state.revoke([`task-${count}-${'x'.repeat(40)}`]);
    state.flush();
    largest = Math.max(largest, readFileSync(path).length);
    if (count % 1000 === 0) clock.advance(1);
  }
  t.ok(largest < 150_000, `at most ${largest} bytes`);
  await state.stop();
  const again = make({ maxRevoked: 100 });
  await again.start();
  t.strictSame(ids(again), ids(state));
  t.equal(ids(again).length, 100);
});

t.test('bounded in number and age over restarts', async (t) => {
  const { make, clock } = bench(t);
  const params = { maxRevoked: 3, maxAgeMs: 1000 };
  const state = make(params);
  await state.start();
  state.revoke(['a']);
  clock.advance(600);
  state.revoke(['b', 'c', 'd']);
  t.strictSame(ids(state), ['b', 'c', 'd'], 'the oldest goes first');
  await state.stop();
  clock.advance(500);
  const again = make(params);
  await again.start();
  t.strictSame(ids(again).sort(), ['b', 'c', 'd']);
  clock.advance(500);
  t.equal(again.isRevoked('b'), false);
  t.strictSame(ids(again), []);
});

t.test('what others know', async (t) => {
  const { open, clock } = bench(t);
  const state = await open();
  state.revoke(['mine']);
  clock.advance(1000);
  t.strictSame(
    state.merge([
      ['mine', 5000],
      ['theirs', 2000],
    ]),
    ['theirs'],
  );
  t.strictSame(ids(state), ['theirs', 'mine']);
  await state.stop();
  t.strictSame(ids(await open()), ['theirs', 'mine'], 'kept as well, in the order of age');
});

t.test('one worker at a time', async (t) => {
  const { make } = bench(t);
  const [first, second] = [make(), make()];
  await first.start();
  await t.rejects(second.start(), { code: 'STATEDB_IN_USE', message: new RegExp(`worker\\.state is in use by process ${process.pid}$`) });
  await second.stop();
  first.revoke(['a']);
  await first.stop();
  await second.start();
  t.ok(second.isRevoked('a'));
});

t.test('a file of another kind is refused and not touched, and nothing is made beside it', async (t) => {
  const { make, log } = bench(t);
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('passwd');
  writeFileSync(path, 'root:x:0:0:root:/root:/bin/bash\n');
  await t.rejects(new StateDb({ path, log, lock: lockPath }).start(), { code: 'FILE_CANNOT_CREATE', message: /left as it is: .*passwd/ });
  t.equal(readFileSync(path, 'utf8'), 'root:x:0:0:root:/root:/bin/bash\n');
  t.same(readdirSync(folder.path('.')), ['passwd']);
  await t.rejects(new StateDb({ path: folder.path('.'), log, lock: lockPath }).start(), {
    code: 'FILE_CANNOT_CREATE',
    message: /not a file/,
  });
  await make().stop();
  t.same(log.lines, []);
});

t.test('a change that was cut off is as if it had not been; the next ones are whole', async (t) => {
  const { open, path, log } = bench(t);
  const first = await open();
  first.revoke(['a']);
  await first.stop();
  appendFileSync(path, '0123abcd {"ids":[["b"');
  const second = await open();
  t.strictSame(ids(second), ['a']);
  second.revoke(['c']);
  await second.stop();
  t.strictSame(ids(await open()), ['a', 'c']);
  t.strictSame(log.lines, []);
});

t.test('a damaged file is set aside with a warning, and what is whole in it is kept', async (t) => {
  const { open, path, log, files } = bench(t);
  const first = await open();
  for (const id of ['a', 'b']) {
    first.revoke([id]);
    first.flush();
  }
  await first.stop();
  const file = readFileSync(path);
  file[file.indexOf('["a"') + 2] = 0x7a;
  writeFileSync(path, file);
  const second = await open();
  t.strictSame(ids(second), ['b']);
  t.match(log.lines, [{ level: 'warning', event: 'statedb.damaged', message: /set aside as .*worker\.state\.damaged-.*; 1 revoked ids/ }]);
  const [aside] = files().filter((name) => name.startsWith('worker.state.damaged-'));
  t.same(readFileSync(join(path, '..', aside!)), file);
  second.revoke(['c']);
  await second.stop();
  t.strictSame(ids(await open()), ['b', 'c']);
  t.equal(log.lines.length, 1);
});

t.test('an empty file is one that has lost everything', async (t) => {
  const { open, path, log } = bench(t);
  const first = await open();
  first.revoke(['a']);
  await first.stop();
  truncateSync(path);
  t.strictSame(ids(await open()), []);
  t.match(log.lines, [{ event: 'statedb.damaged' }]);
});

t.test('a disk that refuses: said once, kept in memory, written when it is well again', async (t) => {
  const { open, path, clock, log } = bench(t);
  const state = await open();
  // The end of the file is made unknown, and the next whole file cannot be written either.
  const many = Array.from({ length: 3000 }, (_, count) => `task-${count}-${'x'.repeat(40)}`);
  state.revoke(many);
  state.flush();
  mkdirSync(`${path}.new`);
  state.revoke(['a']);
  state.flush();
  t.match(log.lines, [{ level: 'error', event: 'statedb.not-written' }]);
  state.revoke(['b']);
  state.flush();
  clock.advance(5000);
  t.equal(log.lines.length, 1, 'once');
  t.ok(state.isRevoked('a') && state.isRevoked('b'));
  t.notMatch(readFileSync(path, 'utf8'), /\["a"/);
  rmdirSync(`${path}.new`);
  clock.advance(5000);
  t.match(readFileSync(path, 'utf8'), /\["a".*\["b"/);
  await state.stop();
  t.equal(ids(await open()).length, 3002);
});

t.test('a change that was written in part: the file is written anew, and then added to again', async (t) => {
  const { open, path, clock, log } = bench(t);
  const state = await open();
  const { append, replace } = StateFile.prototype;
  let replaced = 0;
  t.teardown(() => Object.assign(StateFile.prototype, { append, replace }));
  Object.assign(StateFile.prototype, {
    replace(this: StateFile, text: string) {
      replaced += 1;
      replace.call(this, text);
    },
    append(this: StateFile, text: string) {
      append.call(this, text.slice(0, text.length / 2));
      throw new Error('no space left');
    },
  });
  state.revoke(['a']);
  state.flush();
  t.match(log.lines, [{ event: 'statedb.not-written', message: /no space left/ }]);
  Object.assign(StateFile.prototype, { append });
  clock.advance(5000);
  for (const id of ['b', 'c']) {
    state.revoke([id]);
    state.flush();
  }
  t.equal(replaced, 1);
  t.match(readState(readFileSync(path)), { condition: 'whole' });
  await state.stop();
  t.strictSame(ids(await open()), ['a', 'b', 'c']);
});

t.test('without a path, and in a missing folder', async (t) => {
  const log = new RecordingLog();
  const state = new StateDb({ path: null, log, lock: lockPath });
  await state.start();
  state.revoke(['a']);
  state.logicalClock = 3;
  t.equal(state.isRevoked('a'), true);
  await state.stop();
  await t.rejects(new StateDb({ path: '/nowhere/at/all/state', log, lock: lockPath }).start(), {
    code: 'FILE_CANNOT_CREATE',
    message: /\/nowhere\/at\/all/,
  });
});

t.test('kill -9 while it writes: all that was confirmed is there, as often as it is tried', async (t) => {
  const { open, path, log } = bench(t);
  const script = join(import.meta.dirname, 'fixture/revoke-for-ever.ts');
  let confirmed = 0;
  for (let round = 0; round < 5; round += 1) {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, path, String(round)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.length > 2000 * (round + 1)) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const done = said.slice(0, said.lastIndexOf('\n')).split('\n');
    const state = await open();
    const known = new Set(ids(state));
    t.strictSame(
      done.filter((id) => !known.has(id)),
      [],
    );
    confirmed += done.length;
    await state.stop();
  }
  t.ok(confirmed > 100, `${confirmed} ids`);
  t.strictSame(log.lines, [], 'and nothing was damaged');
  t.match(execFileSync('tail', ['-c', '1', path]).toString(), '\n');
});
