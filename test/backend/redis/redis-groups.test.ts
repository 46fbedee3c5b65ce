/** Groups and chords in Redis: Celery's keys and words, and a body that runs once. */
import t, { type Test } from 'tap';
import type { ChordOutcome, ChordPart, GroupStore } from '../../../src/backend/group-store.ts';
import { RedisBackend, type RedisBackendParams } from '../../../src/backend/redis/redis-backend.ts';
import { decodeChordMember } from '../../../src/protocol/chord-member.ts';
import type { ResultTuple } from '../../../src/protocol/result-tuple.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { loadVectors } from '../../protocol/vectors.ts';
import { RedisServer } from '../../redis-server.ts';
import { record } from '../conformance.ts';
import { connectionTo } from './redis-place.ts';

const server = await RedisServer.start(t);

async function open(t: Test, params: Partial<RedisBackendParams> = {}): Promise<RedisBackend> {
  const backend = new RedisBackend({ connection: connectionTo(server), resultExpiresMs: 86_400_000, ...params });
  await backend.start();
  t.teardown(() => backend.stop());
  return backend;
}

function part(groupId: string, groupIndex: number | null, more: Partial<ChordPart> = {}): ChordPart {
  return { groupId, groupIndex, chordSize: null, ignoreResult: false, ...more };
}

/** A part that ends well; its result is its own id unless given. */
function succeed(
  groups: GroupStore,
  groupId: string,
  index: number | null,
  taskId: string,
  value: unknown = taskId,
): Promise<ChordOutcome> {
  return groups.storeChordPart(record(taskId, 'SUCCESS', value), part(groupId, index));
}

function fail(groups: GroupStore, groupId: string, index: number | null, taskId: string, type = 'ValueError'): Promise<ChordOutcome> {
  const exception = { exc_type: type, exc_message: ['boom'], exc_module: 'builtins' };
  return groups.storeChordPart(record(taskId, 'FAILURE', exception), part(groupId, index));
}

const counted = { kind: 'counted' };
const key = (groupId: string, suffix: string) => `celery-taskset-meta-${groupId}${suffix}`;
const keysOf = (groupId: string) => server.cli('KEYS', `*${groupId}*`).split('\n').filter(Boolean).sort();

/** From when it was written; a busy machine may have taken its time since. */
function livesADay(name: string): boolean {
  const seconds = Number(server.cli('TTL', name));
  return seconds > 86_300 && seconds <= 86_400;
}

interface ChordVector {
  readonly name: string;
  readonly group_id?: string;
  readonly json?: { readonly result: unknown; readonly task_id: string };
  readonly keys?: readonly {
    readonly key: string;
    readonly type: string;
    readonly value?: string;
    readonly members?: readonly (readonly [string, number])[];
  }[];
}

for (const file of ['results-redis.json', 'results-redis-5.6.3.json']) {
  t.test(`the chord of ${file}, part by part`, async (t) => {
    const vectors = loadVectors(t, file) as { readonly results: readonly ChordVector[] } | null;
    if (vectors === null) return;
    server.cli('FLUSHALL');
    const { groups } = await open(t);
    const flying = vectors.results.find(({ name }) => name === 'chord-in-flight');
    const groupId = flying?.group_id ?? '';
    const [parts, size] = flying?.keys ?? [];
    await groups.setChordSize(groupId, Number(size?.value));
    for (const [member, score] of parts?.members ?? []) {
      const [, taskId, , value] = JSON.parse(member);
      t.strictSame(await succeed(groups, groupId, score, taskId, value), counted);
    }
    for (const { key, type, value, members } of flying?.keys ?? []) {
      t.equal(server.cli('TYPE', key), type);
      t.ok(livesADay(key), `${key} expires`);
      if (value !== undefined) t.equal(server.cli('GET', key), value);
      if (members !== undefined) {
        t.strictSame(
          server.cli('ZRANGE', key, '0', '-1', 'WITHSCORES').split('\n'),
          members.flatMap(([member, score]) => [member, String(score)]),
          'byte for byte what Python stored',
        );
      }
    }
    t.strictSame(
      keysOf(groupId).filter((name) => !name.endsWith('.umbel-seen')),
      (flying?.keys ?? []).map(({ key }) => key),
      'and no other key of Celery',
    );
    const last = await succeed(groups, groupId, 1, 'slow', 3);
    t.strictSame(last, { kind: 'complete', resultsJson: '[2, 3, 4]' });
    const body = vectors.results.find(({ name }) => name === 'chord-body');
    t.equal(
      JSON.parse(last.kind === 'complete' ? last.resultsJson : '[]').reduce((sum: number, one: number) => sum + one),
      body?.json?.result,
    );
    await groups.endChord(groupId);
    const after = vectors.results.find(({ name }) => name === 'chord-after');
    t.strictSame(keysOf(groupId), after?.keys ?? []);
  });
}

t.test('the chord that failed, as Celery left it', async (t) => {
  const vectors = loadVectors(t, 'results-redis.json') as { readonly results: readonly ChordVector[] } | null;
  if (vectors === null) return;
  const { groups } = await open(t);
  const after = vectors.results.find(({ name }) => name === 'chord-failed-after');
  const members = after?.keys?.[0]?.members ?? [];
  await groups.setChordSize('failed', members.length);
  let outcome: ChordOutcome | null = null;
  for (const [member, score] of members) {
    const { taskId, state, resultJson } = decodeChordMember(member);
    const own = { ...record(taskId, state, null), resultJson };
    outcome = await groups.storeChordPart(own, part('failed', score));
  }
  const body = vectors.results.find(({ name }) => name === 'chord-failed-body');
  t.match(outcome, { kind: 'failed', exception: body?.json?.result as object });
  t.strictSame(
    server.cli('ZRANGE', key('failed', '.j'), '0', '-1').split('\n'),
    members.map(([member]) => member),
  );
  t.equal(server.cli('GET', key('failed', '.s')), '3', 'counters are left to expire');
});

t.test('results are stored with the count, and stand in the order of the group', async (t) => {
  const backend = await open(t);
  const { groups } = backend;
  await groups.setChordSize('order', 12);
  const order = [11, 3, 0, 7, 1, 10, 2, 9, 4, 8, 5, 6];
  let outcome: ChordOutcome = { kind: 'counted' };
  for (const index of order) {
    t.equal(outcome.kind, 'counted');
    outcome = await succeed(groups, 'order', index, `task${index}`, { index });
    t.strictSame((await backend.get(`task${index}`))?.result, { index });
  }
  t.equal(outcome.kind, 'complete');
  if (outcome.kind === 'complete')
    t.strictSame(
      JSON.parse(outcome.resultsJson),
      Array.from({ length: 12 }, (_, index) => ({ index })),
    );
});

t.test('without an index: behind the others, by id', async (t) => {
  const { groups } = await open(t);
  await groups.setChordSize('noindex', 4);
  for (const [taskId, index] of [
    ['c', null],
    ['a', null],
    ['z', 5],
  ] as const)
    await succeed(groups, 'noindex', index, taskId);
  t.equal(server.cli('ZSCORE', key('noindex', '.j'), '[1, "c", "SUCCESS", "c"]'), 'inf');
  t.strictSame(await succeed(groups, 'noindex', null, 'b'), { kind: 'complete', resultsJson: '["z", "a", "b", "c"]' });
});

t.test('result_chord_ordered = false: a list, in the order of arrival', async (t) => {
  const { groups } = await open(t, { chordOrdered: false });
  await groups.setChordSize('list', 3);
  await succeed(groups, 'list', 2, 'c');
  await succeed(groups, 'list', 0, 'a');
  t.equal(server.cli('TYPE', key('list', '.j')), 'list');
  t.strictSame(server.cli('LRANGE', key('list', '.j'), '0', '-1').split('\n'), ['[1, "c", "SUCCESS", "c"]', '[1, "a", "SUCCESS", "a"]']);
  const ordered = await open(t);
  t.strictSame(
    await succeed(ordered.groups, 'list', 1, 'b'),
    { kind: 'complete', resultsJson: '["c", "a", "b"]' },
    'a worker with the other setting follows what is there',
  );
});

for (const chordOrdered of [true, false]) {
  for (const index of [0, null]) {
    t.test(`a part that is delivered twice counts once (${chordOrdered ? 'ordered' : 'list'}, index ${index})`, async (t) => {
      const backend = await open(t, { chordOrdered });
      const { groups } = backend;
      const groupId = `twice-${chordOrdered}-${index}`;
      await groups.setChordSize(groupId, 2);
      const first = `${groupId}-first`;
      const second = `${groupId}-second`;
      t.strictSame(await succeed(groups, groupId, index, first, 1), counted);
      t.strictSame(await succeed(groups, groupId, index, first, 1), counted, 'the same result');
      t.strictSame(await succeed(groups, groupId, index, first, 'another'), counted, 'another result');
      t.strictSame(await fail(groups, groupId, index, first), counted, 'a failure does not replace a success');
      const other = index === null ? null : 1;
      t.strictSame(await fail(groups, groupId, other, second), {
        kind: 'failed',
        exception: {
          exc_type: 'ChordError',
          exc_message: [`Dependency ${second} raised ValueError('boom')`],
          exc_module: 'celery.exceptions',
        },
        traceback: `celery.exceptions.ChordError: Dependency ${second} raised ValueError('boom')\n`,
      });
      t.strictSame(
        await succeed(groups, groupId, other, second, 2),
        { kind: 'complete', resultsJson: '[1, 2]' },
        'a success replaces a failure',
      );
    });
  }
}

t.test('a chord is completed by one task: by the same again, by no other', async (t) => {
  const backend = await open(t);
  const { groups } = backend;
  await groups.setChordSize('claim', 2);
  await succeed(groups, 'claim', 0, 'claim-a');
  const complete = { kind: 'complete', resultsJson: '["claim-a", "claim-b"]' };
  t.strictSame(await succeed(groups, 'claim', 1, 'claim-b'), complete);
  t.strictSame(await succeed(groups, 'claim', 0, 'claim-a'), counted, 'the other part once more');
  t.strictSame(await succeed(groups, 'claim', 1, 'claim-b'), complete, 'the worker that completed it died before it said so');
  await groups.endChord('claim');
  t.strictSame(keysOf('taskset-meta-claim'), []);
  t.strictSame(await succeed(groups, 'claim', 1, 'claim-b'), counted, 'after the end');
  t.strictSame(await succeed(groups, 'claim', 0, 'claim-a'), counted);
});

t.test('a part that Python counted and that comes again is not counted again', async (t) => {
  const { groups } = await open(t);
  server.cli('SET', key('mixed', '.s'), '2');
  server.cli('ZADD', key('mixed', '.j'), '0', '[1, "mixed-a", "SUCCESS", {"n": 1}]');
  server.cli('SET', 'celery-task-meta-mixed-a', '{"status": "SUCCESS", "result": {"n": 1}, "traceback": null, "task_id": "mixed-a"}');
  t.strictSame(await succeed(groups, 'mixed', 0, 'mixed-a', { n: 1 }), counted);
  t.strictSame(await succeed(groups, 'mixed', 1, 'mixed-b', 2), { kind: 'complete', resultsJson: '[{"n": 1}, 2]' });
  // Python stored the result and died before it counted the part.
  server.cli('SET', key('mixed2', '.s'), '1');
  server.cli('SET', 'celery-task-meta-mixed2-a', '{"status": "SUCCESS", "result": 1, "traceback": null, "task_id": "mixed2-a"}');
  t.strictSame(await succeed(groups, 'mixed2', 0, 'mixed2-a', 1), { kind: 'complete', resultsJson: '[1]' });
});

t.test('an ignored result is counted and not stored', async (t) => {
  const backend = await open(t);
  await backend.groups.setChordSize('ignored', 1);
  const outcome = await backend.groups.storeChordPart(record('quiet', 'SUCCESS', 7), part('ignored', 0, { ignoreResult: true }));
  t.strictSame(outcome, { kind: 'complete', resultsJson: '[7]' });
  t.equal(await backend.get('quiet'), null);
});

t.test('how many there are: added ones, a size that comes late, one from an old sender, none', async (t) => {
  const { groups } = await open(t);
  await groups.setChordSize('added', 1);
  await groups.addToChord('added');
  t.strictSame(await succeed(groups, 'added', 0, 'added-a'), counted);
  t.equal((await succeed(groups, 'added', 1, 'added-b')).kind, 'complete');
  await succeed(groups, 'late', 0, 'late-a');
  await groups.setChordSize('late', 2);
  t.equal((await succeed(groups, 'late', 1, 'late-b')).kind, 'complete');
  const old = (taskId: string, index: number) => groups.storeChordPart(record(taskId, 'SUCCESS', 1), part('old', index, { chordSize: 2 }));
  t.strictSame(await old('old-a', 0), counted);
  t.equal((await old('old-b', 1)).kind, 'complete');
  t.strictSame(await succeed(groups, 'unknown', 0, 'unknown-a'), { kind: 'unsized', counted: 1 });
});

// ---------------------------------------------------------------- counters that are lost

/** What a part of a chord of three finds lost after the first two, or after one of them, and how the chord ends. */
const whole = { kind: 'complete', resultsJson: '[0, 1, 2]' };
const restored: readonly (readonly [string, readonly string[]])[] = [
  ['the parts', ['.j']],
  ['the size', ['.s']],
  ['the parts and the size', ['.j', '.s']],
  ['all of Celery’s counters', ['.j', '.s', '.t']],
];
for (const chordOrdered of [true, false]) {
  for (const [what, suffixes] of restored) {
    for (const after of [1, 2]) {
      const form = chordOrdered ? 'ordered' : 'list';
      t.test(`${what} deleted after ${after} of three: complete all the same (${form})`, async (t) => {
        const { groups } = await open(t, { chordOrdered });
        const groupId = `lost-${form}-${suffixes.join('')}-${after}`;
        await groups.setChordSize(groupId, 3);
        const ids = [0, 1, 2].map((index) => `${groupId}-${index}`);
        for (const index of [0, 1, 2]) {
          if (index === after) server.cli('DEL', ...suffixes.map((suffix) => key(groupId, suffix)));
          const outcome = await succeed(groups, groupId, index, ids[index] ?? '', index);
          if (index < 2) t.strictSame(outcome, counted);
          else if (chordOrdered) t.strictSame(outcome, whole);
          else t.strictSame(outcome.kind === 'complete' ? JSON.parse(outcome.resultsJson).sort() : outcome, [0, 1, 2]);
        }
        t.equal(server.cli('GET', key(groupId, '.s')), '3', 'Python reads them again');
        t.equal(server.cli('TYPE', key(groupId, '.j')), chordOrdered ? 'zset' : 'list');
        await groups.endChord(groupId);
        t.strictSame(keysOf(`taskset-meta-${groupId}`), []);
      });
    }
  }
}

t.test('what is put back is byte for byte what was there, and expires', async (t) => {
  const { groups } = await open(t);
  await groups.setChordSize('bytes', 4);
  const values = [12345678901234567890n, 0.1, { a: ['ü', null] }];
  for (const [index, value] of values.entries()) {
    const resultJson = typeof value === 'bigint' ? String(value) : JSON.stringify(value);
    await groups.storeChordPart({ ...record(`bytes-${index}`, 'SUCCESS', null), resultJson }, part('bytes', index));
  }
  const members = server.cli('ZRANGE', key('bytes', '.j'), '0', '-1', 'WITHSCORES');
  server.cli('ZREMRANGEBYSCORE', key('bytes', '.j'), '0', '1');
  server.cli('DEL', key('bytes', '.t'));
  await groups.addToChord('bytes');
  t.strictSame(await succeed(groups, 'bytes', 3, 'bytes-3', 'last'), counted);
  t.ok(server.cli('ZRANGE', key('bytes', '.j'), '0', '-1', 'WITHSCORES').startsWith(members));
  t.ok(Number(server.cli('TTL', key('bytes', '.j'))) > 86_000);
  t.equal(server.cli('EXISTS', key('bytes', '.umbel-claim')), '0', 'whoever put them back does not keep the chord');
  t.match(await succeed(groups, 'bytes', 4, 'bytes-4', 'added'), { kind: 'complete', resultsJson: /^\[12345678901234567890, 0.1, / });
});

t.test('added parts that are forgotten are counted all the same', async (t) => {
  const { groups } = await open(t);
  await groups.setChordSize('forgot', 2);
  server.cli('INCR', key('forgot', '.t'));
  await succeed(groups, 'forgot', 0, 'forgot-a', 0);
  server.cli('DEL', key('forgot', '.t'));
  t.strictSame(await succeed(groups, 'forgot', 1, 'forgot-b', 1), counted, 'two of three');
  t.strictSame(await succeed(groups, 'forgot', 2, 'forgot-c', 2), whole);
});

t.test('results that are gone too: the chord fails and names them; once', async (t) => {
  const { groups } = await open(t);
  for (const [groupId, lose] of [
    ['gone', ['celery-task-meta-gone-1']],
    ['quiet', []],
  ] as const) {
    await groups.setChordSize(groupId, 4);
    await succeed(groups, groupId, 0, `${groupId}-0`);
    await groups.storeChordPart(record(`${groupId}-1`, 'SUCCESS', 1), part(groupId, 1, { ignoreResult: groupId === 'quiet' }));
    server.cli('DEL', key(groupId, '.j'), ...lose);
    const message = `the counters of chord ${groupId} were lost, and the results of 1 of its parts (${groupId}-1)`;
    const failed = { kind: 'failed', exception: { exc_type: 'ChordError', exc_message: [message] } };
    t.match(await succeed(groups, groupId, 2, `${groupId}-2`), failed);
    t.strictSame(await succeed(groups, groupId, 3, `${groupId}-3`), counted, 'the others have nothing to do with it');
    t.match(await succeed(groups, groupId, 2, `${groupId}-2`), failed, 'delivered again: it may not have been said');
  }
});

t.test('everything deleted: given up without a size, and nothing else', async (t) => {
  const { groups } = await open(t);
  await groups.setChordSize('flushed', 3);
  await succeed(groups, 'flushed', 0, 'flushed-0');
  server.cli('FLUSHALL');
  t.strictSame(await succeed(groups, 'flushed', 1, 'flushed-1'), { kind: 'unsized', counted: 1 });
  t.strictSame(await succeed(groups, 'flushed', 2, 'flushed-2'), { kind: 'unsized', counted: 2 });
  t.match(await groups.giveUpChord('flushed', 'flushed-1', 2), { kind: 'failed' });
  t.strictSame(await groups.giveUpChord('flushed', 'flushed-2', 2), counted);
  t.strictSame(await succeed(groups, 'flushed', 1, 'flushed-1'), counted, 'delivered again: it stays given up');
  t.strictSame(await succeed(groups, 'flushed', 3, 'flushed-3'), counted);
});

t.test('a saved group that is gone is no list of results', async (t) => {
  const { groups } = await open(t);
  await groups.saveGroup('shapeless', [
    ['shapeless', null],
    [
      [['in', null], [[['shapeless-0', null], null]]],
      [['shapeless-1', null], null],
    ],
  ]);
  await groups.setChordSize('shapeless', 2);
  await succeed(groups, 'shapeless', 0, 'shapeless-0');
  t.ok(Number(server.cli('PTTL', key('shapeless', ''))) > 86_000_000, 'it lives as long as what is counted');
  server.cli('DEL', key('shapeless', ''));
  t.match(await succeed(groups, 'shapeless', 1, 'shapeless-1'), {
    kind: 'failed',
    exception: { exc_message: ['GroupResult shapeless no longer exists'] },
  });
});

t.test('what Python counted and nobody here has seen is missed, and said', async (t) => {
  const { groups } = await open(t);
  await groups.setChordSize('two-sides', 4);
  const python = (index: number): void => {
    server.cli('SET', `celery-task-meta-two-sides-${index}`, `{"status": "SUCCESS", "result": ${index}, "task_id": "two-sides-${index}"}`);
    server.cli('ZADD', key('two-sides', '.j'), String(index), `[1, "two-sides-${index}", "SUCCESS", ${index}]`);
  };
  python(0);
  await succeed(groups, 'two-sides', 1, 'two-sides-1', 1);
  server.cli('DEL', key('two-sides', '.j'));
  t.match(await succeed(groups, 'two-sides', 2, 'two-sides-2', 2), {
    kind: 'failed',
    exception: { exc_message: ['the counters of chord two-sides were lost, and the results of 1 of its parts'] },
  });
});

t.test('a chord that Python has ended is not taken for one whose counters are lost', async (t) => {
  for (const chordOrdered of [true, false]) {
    const { groups } = await open(t, { chordOrdered });
    const groupId = `ended-${chordOrdered}`;
    await groups.setChordSize(groupId, 3);
    for (const index of [0, 1]) await succeed(groups, groupId, index, `${groupId}-${index}`);
    // The last part was counted there, and the body sent.
    server.cli('SET', `celery-task-meta-${groupId}-2`, `{"status": "SUCCESS", "result": 2, "task_id": "${groupId}-2"}`);
    server.cli('DEL', key(groupId, '.j'), key(groupId, '.s'), key(groupId, '.t'));
    for (const index of [0, 2, 1, 0]) t.strictSame(await succeed(groups, groupId, index, `${groupId}-${index}`), counted);
    t.strictSame(await groups.giveUpChord(groupId, `${groupId}-0`, 3), counted);
  }
});

t.test('a part that completed its chord and comes again after the loss completes it again', async (t) => {
  const { groups } = await open(t);
  await groups.setChordSize('died', 2);
  await succeed(groups, 'died', 0, 'died-0', 0);
  const complete = { kind: 'complete', resultsJson: '[0, 1]' };
  t.strictSame(await succeed(groups, 'died', 1, 'died-1', 1), complete);
  server.cli('DEL', key('died', '.j'), key('died', '.s'));
  t.strictSame(await succeed(groups, 'died', 0, 'died-0', 0), counted, 'another part does not');
  t.strictSame(await succeed(groups, 'died', 1, 'died-1', 1), complete);
});

t.test('a revoked part fails the chord; the first of several in the order of the group is named', async (t) => {
  const { groups } = await open(t);
  await groups.setChordSize('revoked', 3);
  await fail(groups, 'revoked', 2, 'third', 'KeyError');
  const revoked = { exc_type: 'TaskRevokedError', exc_message: ['terminated'], exc_module: 'celery.exceptions' };
  await groups.storeChordPart(record('second', 'REVOKED', revoked), part('revoked', 1));
  t.match(await succeed(groups, 'revoked', 0, 'first'), {
    kind: 'failed',
    exception: { exc_message: ["Dependency second raised TaskRevokedError('terminated')"] },
  });
});

t.test('groups are saved and restored as Celery does', async (t) => {
  const { groups } = await open(t);
  const vectors = loadVectors(t, 'results-redis.json') as {
    readonly results: readonly { readonly name: string; readonly key?: string; readonly raw?: string }[];
  } | null;
  if (vectors === null) return;
  const saved = vectors.results.find(({ name }) => name === 'group-meta');
  const groupId = saved?.key?.slice('celery-taskset-meta-'.length) ?? '';
  server.cli('SET', saved?.key ?? '', saved?.raw ?? '');
  const tuple = await groups.restoreGroup(groupId);
  t.strictSame(tuple, JSON.parse(saved?.raw ?? '').result);
  await groups.deleteGroup(groupId);
  t.equal(await groups.restoreGroup(groupId), null);
  await groups.saveGroup(groupId, tuple as ResultTuple);
  t.strictSame(JSON.parse(server.cli('GET', saved?.key ?? '')), JSON.parse(saved?.raw ?? ''));
  t.ok(livesADay(saved?.key ?? ''));
  server.cli('SET', key('broken', ''), 'x');
  await t.rejects(groups.restoreGroup('broken'), { code: 'MESSAGE_UNDECODABLE' });
});

t.test('a header with groups in it: results in the shape of the saved group', async (t) => {
  const backend = await open(t);
  const { groups } = backend;
  const task = (id: string): ResultTuple => [[id, null], null];
  const group: ResultTuple = [
    ['shape', null],
    [
      task('s1'),
      [
        ['inner', null],
        [task('s2'), task('s3')],
      ],
      task('s4'),
    ],
  ];
  await groups.saveGroup('shape', group);
  await groups.setChordSize('shape', 4);
  const digits = '123456789012345678901234567890';
  await groups.storeChordPart({ ...record('s4', 'SUCCESS', 0), resultJson: digits }, part('shape', 3));
  for (const index of [2, 1]) await succeed(groups, 'shape', index, `s${index + 1}`);
  t.strictSame(await succeed(groups, 'shape', 0, 's1'), { kind: 'complete', resultsJson: `["s1", ["s2", "s3"], ${digits}]` });
});

t.test('joining waits for a document that is late, as long as it may', async (t) => {
  const group: ResultTuple = [
    ['join', null],
    [
      [['j1', null], null],
      [['j2', null], null],
    ],
  ];
  // The look for the subscription takes a process, and a busy machine its time for that.
  const backend = await open(t, { chordJoinTimeoutMs: 60_000 });
  const { groups } = backend;
  await groups.saveGroup('join', group);
  await groups.setChordSize('join', 1);
  await backend.store(record('j1', 'STARTED', null));
  const joining = succeed(groups, 'join', 1, 'j2', 2);
  while (server.cli('PUBSUB', 'CHANNELS', '*j1') === '') await new Promise((resolve) => setImmediate(resolve));
  await backend.store(record('j1', 'SUCCESS', 1));
  t.strictSame(await joining, { kind: 'complete', resultsJson: '[1, 2]' });

  const impatient = await open(t, { chordJoinTimeoutMs: 20 });
  await impatient.forget('j1');
  t.match(await succeed(impatient.groups, 'join', 1, 'j2', 2), {
    kind: 'failed',
    exception: { exc_type: 'ChordError', exc_message: ["Join error: TimeoutError('The operation timed out.')"] },
  });
  await backend.store(record('j1', 'FAILURE', { exc_type: 'KeyError', exc_message: ['k'], exc_module: 'builtins' }));
  t.match(await succeed(groups, 'join', 1, 'j2', 2), { kind: 'failed', exception: { exc_message: ["Join error: KeyError('k')"] } });
  server.cli('SET', key('join', ''), '{"result": 3}');
  t.match(await succeed(groups, 'join', 1, 'j2', 2), { kind: 'failed', exception: { exc_message: [/^Join error: a result tuple must/] } });
});

t.test('300 parts from three workers whose connections break: completed by one', async (t) => {
  const workers = await Promise.all([0, 1, 2].map(() => open(t)));
  for (let round = 0; round < 3; round++) {
    const groupId = `race${round}`;
    await workers[0]!.groups.setChordSize(groupId, 300);
    const outcomes = Array.from({ length: 300 }, (_, index) => {
      const { groups } = workers[index % 3]!;
      const twice = index % 7 === 0 ? [succeed(workers[(index + 1) % 3]!.groups, groupId, index, `${groupId}-${index}`)] : [];
      return Promise.all([succeed(groups, groupId, index, `${groupId}-${index}`), ...twice]);
    });
    await new Promise((resolve) => setImmediate(resolve));
    for (const { connection } of workers) connection.reconnect('test');
    const all = await Promise.all(outcomes);
    const complete = all.filter((of) => of.some(({ kind }) => kind === 'complete'));
    t.equal(complete.length, 1, 'the outcome of one task');
    const outcome = complete[0]?.find(({ kind }) => kind === 'complete');
    if (outcome?.kind === 'complete')
      t.strictSame(
        JSON.parse(outcome.resultsJson),
        Array.from({ length: 300 }, (_, index) => `${groupId}-${index}`),
      );
  }
});

t.test('counters without an end expire, whatever results do', async (t) => {
  const { groups } = await open(t, { resultExpiresMs: null, clock: new FakeClock() });
  await groups.setChordSize('ever', 1);
  await succeed(groups, 'ever', 0, 'ever-a');
  t.equal(server.cli('TTL', key('ever', '.s')), '-1', 'as Celery');
  t.ok(Number(server.cli('TTL', key('ever', '.umbel-claim'))) > 86_000, 'ours does');
});
