import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { type SqliteDatabase, SqliteFailure } from '../../src/driver/sqlite.ts';
import { SqliteStore, type SqliteStoreState } from '../../src/driver/sqlite-store.ts';
import { storeAt, type TemporaryFolder, temporaryFolder } from '../broker/sqlite/temporary-store.ts';
import { RecordingLog } from './recording-log.ts';

const schema = (database: SqliteDatabase): void => database.exec('CREATE TABLE IF NOT EXISTS item (name TEXT PRIMARY KEY)');
const insert = (name: string) => (database: SqliteDatabase) => database.prepare('INSERT INTO item (name) VALUES (?)').insert(name);
const names = (database: SqliteDatabase) =>
  database
    .prepare('SELECT name FROM item ORDER BY name')
    .all()
    .map((row) => row[0]);

function folderFor(t: Test): TemporaryFolder {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  return folder;
}

function stateOf(store: SqliteStore, wanted: SqliteStoreState): Promise<void> {
  return new Promise((resolve) => {
    if (store.state === wanted) return resolve();
    const stop = store.onStateChange((state) => {
      if (state !== wanted) return;
      stop();
      resolve();
    });
  });
}

t.test('what is asked for in one turn is one transaction', async (t) => {
  const path = folderFor(t).path('a.db');
  const store = storeAt(path);
  await store.acquire(schema);
  const other = storeAt(path);
  await other.acquire(schema);
  const seen = new Set<number>();
  other.onChange(() => seen.add(other.peek((database) => names(database).length, -1)));
  await Promise.all(Array.from({ length: 50 }, (_, index) => store.write(insert(`n${index}`))));
  t.equal((await other.read(names)).length, 50);
  seen.delete(0);
  for (const size of seen) t.equal(size, 50, 'nobody saw a part of it');
  await store.release(schema);
  await other.release(schema);
});

t.test('an operation whose statement fails, fails alone', async (t) => {
  const store = storeAt(folderFor(t).path('a.db'));
  await store.acquire(schema);
  const results = await Promise.allSettled([
    store.write(insert('a')),
    store.write((database) => {
      insert('half')(database);
      insert('a')(database);
    }),
    store.write(() => {
      throw new Error('a defect');
    }),
    store.write(insert('b')),
  ]);
  t.strictSame(
    results.map((result) => result.status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  );
  t.strictSame(await store.read(names), ['a', 'b'], 'and leaves no half of itself');
  t.equal(store.state, 'open');
  t.match(results[1], { reason: { kind: 'statement', message: /UNIQUE/ } });
  t.match(results[2], { reason: { kind: 'statement', message: /a defect/ } });
  await store.release(schema);
});

t.test('files that cannot be opened', async (t) => {
  const folder = folderFor(t);
  writeFileSync(folder.path('text.db'), 'this is certainly not a database, however long it may be. '.repeat(50));
  mkdirSync(folder.path('folder.db'));
  const cases: readonly (readonly [string, RegExp, string])[] = [
    [folder.path('missing/a.db'), /the folder of the SQLite database must exist: .*missing/, 'missing'],
    [folder.path('text.db/a.db'), /is not a folder/, 'missing'],
    [folder.path('folder.db'), /must be a file: .*folder\.db/, 'missing'],
    [folder.path('text.db'), /damaged or not a database.*text\.db/, 'corrupt'],
  ];
  for (const [path, message, kind] of cases) {
    const store = storeAt(path);
    await t.rejects(store.acquire(schema), { name: 'SqliteFailure', kind, message });
    t.equal(store.state, 'closed');
    await store.release(schema);
  }
  const made = new SqliteStore({
    path: folder.path('made/deep/a.db'),
    synchronous: 'full',
    busyTimeoutMs: 100,
    createFolder: true,
    log: new RecordingLog(),
  });
  await made.acquire(schema);
  t.equal(statSync(folder.path('made/deep')).mode & 0o777, 0o700);
  await made.release(schema);
});

t.test('a file that may not be written', async (t) => {
  const folder = folderFor(t);
  const path = folder.path('a.db');
  new DatabaseSync(path).close();
  chmodSync(path, 0o444);
  chmodSync(folder.path('.'), 0o755);
  const script = `
    import { SqliteStore } from ${JSON.stringify(new URL('../../src/driver/sqlite-store.ts', import.meta.url).href)};
    const log = { warning() {}, error() {} };
    const store = new SqliteStore({ path: ${JSON.stringify(path)}, synchronous: 'normal', busyTimeoutMs: 100, log });
    await store.acquire(() => {}).then(() => console.log('opened'), (error) => console.log(error.kind, error.message));`;
  // Root may write everything: somebody else has to try.
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'], ...nobody });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += String(chunk);
  });
  let complained = '';
  child.stderr.on('data', (chunk) => {
    complained += String(chunk);
  });
  await once(child, 'close');
  if (/EACCES|ERR_MODULE_NOT_FOUND/.test(complained) && said === '') {
    t.comment('another user cannot read the sources here');
    return;
  }
  t.match(said, /^readonly the SQLite database and its folder must be writable: .*a\.db/, complained);
});

t.test('a full disk: an error for the publisher, patience for the rest, and back', async (t) => {
  const store = storeAt(folderFor(t).path('a.db'));
  await store.acquire(schema);
  const states: string[] = [];
  store.onStateChange((state) => states.push(state));
  const pages = (count: string) => store.peek((database) => database.prepare(`PRAGMA max_page_count = ${count}`).get(), undefined);
  pages('1');
  const long = 'x'.repeat(100_000);
  const kept = store.write(insert(`kept ${long}`), { keep: true });
  await t.rejects(store.write(insert(`not kept ${long}`)), { kind: 'full', message: /the disk of the SQLite database is full.*a\.db/ });
  t.equal(store.state, 'lost');
  await t.rejects(store.write(insert(`still not ${long}`)), { name: 'SqliteFailure', kind: 'full' });
  pages('1000000');
  await kept;
  t.strictSame(states, ['lost', 'open']);
  t.strictSame(
    (await store.read(names)).map((name) => String(name).slice(0, 5)),
    ['kept '],
  );
  await store.release(schema);
});

t.test('a file that fails again and again is tried less and less often', async (t) => {
  const store = storeAt(folderFor(t).path('a.db'));
  await store.acquire(schema);
  const pageCount = store.peek((database) => Number(database.prepare('PRAGMA page_count').get()?.[0]), 0);
  // Room for what finds out whether the file works, not for what is wanted of it: the same as one damaged page.
  store.peek((database) => database.prepare(`PRAGMA max_page_count = ${pageCount + 4}`).get(), undefined);
  const tooMuch = insert('x'.repeat(100_000));
  const lostAtMs: number[] = [];
  const third = new Promise<void>((resolve) => {
    store.onStateChange((state) => {
      if (state === 'open') store.write(tooMuch).catch(() => {});
      if (state === 'lost') lostAtMs.push(performance.now());
      if (lostAtMs.length === 3) resolve();
    });
  });
  await t.rejects(store.write(tooMuch), { name: 'SqliteFailure', kind: 'full' });
  await third;
  const [first = 0, second = 0, last = 0] = lostAtMs;
  t.ok(second - first >= 95, `the first retry after ${second - first} ms`);
  t.ok(last - second >= 195, `the second after ${last - second} ms`);
  await store.release(schema);
});

t.test('a lock held by another process', async (t) => {
  const path = folderFor(t).path('a.db');
  // Longer than a busy machine takes for the end of the lock.
  const patient = storeAt(path);
  await patient.acquire(schema);
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  const waiting = patient.write(insert('waited'));
  t.strictSame(await patient.read(names), [], 'readers are not kept waiting');
  other.exec('COMMIT');
  await waiting;
  await patient.release(schema);

  const store = new SqliteStore({ path, synchronous: 'normal', busyTimeoutMs: 150, log: new RecordingLog() });
  await store.acquire(schema);
  other.exec('BEGIN IMMEDIATE');
  const kept = store.write(insert('kept'), { keep: true });
  await t.rejects(store.write(insert('too late')), { kind: 'busy', message: /locked by another process/ });
  t.equal(store.state, 'lost');
  other.exec('COMMIT');
  await kept;
  t.equal(store.state, 'open');
  t.strictSame(await store.read(names), ['kept', 'waited']);
  other.close();
  await store.release(schema);
});

t.test('a commit elsewhere is heard of, an own one is not taken for one', async (t) => {
  const path = folderFor(t).path('a.db');
  const store = storeAt(path);
  await store.acquire(schema);
  // The look at the file does not keep a process alive.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const other = new DatabaseSync(path, { timeout: 1000 });
  const topics: number[] = [];
  const heard = (): Promise<number> =>
    new Promise((resolve) => {
      const stop = store.onChange((bits) => {
        stop();
        resolve(bits);
      });
    });
  for (let round = 0; round < 20; round++) {
    const news = heard();
    other.exec(`INSERT INTO item (name) VALUES ('foreign ${round}')`);
    t.equal(await news, 0xff);
  }
  store.onChange((bits) => topics.push(bits));
  for (let round = 0; round < 50; round++) await store.write(insert(`own ${round}`), { topics: 2 });
  await store.write(insert('silent'));
  const last = heard();
  other.exec("INSERT INTO item (name) VALUES ('the end')");
  await last;
  t.strictSame(topics, [...Array.from({ length: 50 }, () => 2), 0xff]);
  other.close();
  await store.release(schema);
});

t.test('a file that is replaced while it is open is opened anew', async (t) => {
  const folder = folderFor(t);
  const path = folder.path('a.db');
  const log = new RecordingLog();
  const store = storeAt(path, log);
  await store.acquire(schema);
  await store.write(insert('old'));
  const lost = stateOf(store, 'lost');
  // The look at the file does not keep a process alive.
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, `${folder.path('moved')}${suffix}`);
  await lost;
  await stateOf(store, 'open');
  await store.write(insert('new'));
  t.strictSame(await store.read(names), ['new']);
  t.match(await log.event('sqlite.replaced'), { level: 'error' });
  await store.release(schema);
});

t.test('users share it; the last one closes; a closed one refuses', async (t) => {
  const path = folderFor(t).path('a.db');
  const store = storeAt(path);
  const second = (database: SqliteDatabase): void => database.exec('CREATE TABLE IF NOT EXISTS other (x)');
  await Promise.all([store.acquire(schema), store.acquire(second)]);
  await store.release(schema);
  t.equal(store.state, 'open');
  const enqueued = store.write(insert('at the last moment'));
  await store.release(second);
  await enqueued;
  t.equal(store.state, 'closed');
  await t.rejects(store.read(names), { name: 'SqliteFailure', kind: 'closed' });
  await store.acquire(schema);
  t.strictSame(await store.read(names), ['at the last moment']);
  const abandoned = store.write(insert('never'));
  store.abandon();
  await t.rejects(abandoned, new SqliteFailure('closed', `the SQLite database was closed before the operation (${path})`));
});
