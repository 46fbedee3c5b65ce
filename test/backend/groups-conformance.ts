/**
 * What every result backend that counts the parts of chords must do, run over each of them.
 *
 * Owns the meaning of the contract in src/backend/group-store.ts. Ids are random, so that it runs on a shared server.
 */
import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import type { ResultBackend } from '../../src/backend/backend.ts';
import type { ChordOutcome, GroupStore } from '../../src/backend/group-store.ts';
import type { ResultTuple } from '../../src/protocol/result-tuple.ts';
import type { BackendConformanceParams } from './conformance.ts';
import { record } from './conformance.ts';

const minuteMs = 60_000;
const counted: ChordOutcome = { kind: 'counted' };

export function groupsConformance(t: Test, params: BackendConformanceParams): void {
  const test = (
    title: string,
    body: (t: Test, groups: GroupStore, backend: ResultBackend, open: () => Promise<ResultBackend>) => Promise<void>,
  ): void => {
    t.test(`${params.name} groups: ${title}`, async (t) => {
      const place = await params.open();
      const backends: ResultBackend[] = [];
      const open = async (): Promise<ResultBackend> => {
        const [first] = backends;
        if (first !== undefined && !place.shared) return first;
        const backend = await place.create(minuteMs);
        backends.push(backend);
        await backend.start();
        return backend;
      };
      try {
        const backend = await open();
        if (backend.groups === null) throw new Error('it counts no parts');
        await body(t, backend.groups, backend, open);
      } finally {
        for (const backend of backends) await backend.stop();
        await place.close();
      }
    });
  };

  const end = (
    groups: GroupStore,
    groupId: string,
    groupIndex: number | null,
    taskId: string,
    value: unknown,
    status = 'SUCCESS',
    more: { readonly chordSize?: number; readonly ignoreResult?: boolean } = {},
  ): Promise<ChordOutcome> =>
    groups.storeChordPart(record(taskId, status, value), { groupId, groupIndex, chordSize: null, ignoreResult: false, ...more });
  const boom = { exc_type: 'ValueError', exc_message: ['boom'], exc_module: 'builtins' };

  test('results stand in the order of the group, whatever the order of their ends', async (t, groups, backend) => {
    const groupId = randomUUID();
    await groups.setChordSize(groupId, 12);
    const ids = Array.from({ length: 12 }, () => randomUUID());
    let outcome = counted;
    for (const index of [11, 3, 0, 7, 1, 10, 2, 9, 4, 8, 5, 6]) {
      t.strictSame(outcome, counted);
      outcome = await end(groups, groupId, index, ids[index] ?? '', { index });
      t.strictSame((await backend.get(ids[index] ?? ''))?.result, { index }, 'stored with it');
    }
    if (outcome.kind !== 'complete') throw new Error(`the outcome is ${outcome.kind}`);
    t.strictSame(
      JSON.parse(outcome.resultsJson),
      Array.from({ length: 12 }, (_, index) => ({ index })),
    );
  });

  test('without an index: behind the others, by id', async (t, groups) => {
    const groupId = randomUUID();
    await groups.setChordSize(groupId, 4);
    await end(groups, groupId, null, `${groupId} c`, 'c');
    await end(groups, groupId, null, `${groupId} a`, 'a');
    await end(groups, groupId, 5, `${groupId} z`, 'z');
    const outcome = await end(groups, groupId, null, `${groupId} b`, 'b');
    t.strictSame(JSON.parse(outcome.kind === 'complete' ? outcome.resultsJson : '[]'), ['z', 'a', 'b', 'c']);
  });

  for (const index of [0, null]) {
    test(`a part that is delivered twice counts once (index ${index})`, async (t, groups) => {
      const [groupId, first, second] = [randomUUID(), randomUUID(), randomUUID()];
      await groups.setChordSize(groupId, 2);
      for (const value of [1, 1, 'another']) t.strictSame(await end(groups, groupId, index, first, value), counted);
      t.strictSame(await end(groups, groupId, index, first, boom, 'FAILURE'), counted, 'a failure does not replace a success');
      const other = index === null ? null : 1;
      const message = `Dependency ${second} raised ValueError('boom')`;
      t.match(await end(groups, groupId, other, second, boom, 'FAILURE'), { kind: 'failed', exception: { exc_message: [message] } });
      const outcome = await end(groups, groupId, other, second, 2);
      t.equal(outcome.kind, 'complete', 'a success replaces a failure');
      t.strictSame(JSON.parse(outcome.kind === 'complete' ? outcome.resultsJson : '[]').sort(), [1, 2]);
    });
  }

  test('a chord is completed by one task: by the same again, by no other', async (t, groups) => {
    const [groupId, first, last] = [randomUUID(), randomUUID(), randomUUID()];
    await groups.setChordSize(groupId, 2);
    await end(groups, groupId, 0, first, 0);
    t.equal((await end(groups, groupId, 1, last, 1)).kind, 'complete');
    t.equal((await end(groups, groupId, 1, last, 1)).kind, 'complete', 'its message came again: the body may not have been sent');
    t.strictSame(await end(groups, groupId, 0, first, 0), counted);
    await groups.endChord(groupId);
    t.strictSame(await end(groups, groupId, 0, first, 0), counted, 'after its end none');
    t.strictSame(await end(groups, groupId, 1, last, 1), counted);
  });

  test('100 parts at once, over two backends: one completes', async (t, groups, _backend, open) => {
    const groupId = randomUUID();
    const other = (await open()).groups;
    await groups.setChordSize(groupId, 100);
    const ends = Array.from({ length: 100 }, (_, index) =>
      end(index % 2 === 0 || other === null ? groups : other, groupId, index, randomUUID(), index),
    );
    const outcomes = await Promise.all(ends);
    t.equal(outcomes.filter(({ kind }) => kind === 'complete').length, 1);
    t.equal(outcomes.filter(({ kind }) => kind === 'counted').length, 99);
  });

  test('parts added from within, and a size that only the message says', async (t, groups) => {
    const groupId = randomUUID();
    await groups.addToChord(groupId);
    t.strictSame(await end(groups, groupId, 0, randomUUID(), 0, 'SUCCESS', { chordSize: 1 }), counted);
    t.equal((await end(groups, groupId, 1, randomUUID(), 1, 'SUCCESS', { chordSize: 1 })).kind, 'complete');
    const unknown = randomUUID();
    t.strictSame(await end(groups, unknown, 0, randomUUID(), 0), { kind: 'unsized', counted: 1 }, 'nobody has said how many there are');
    await groups.setChordSize(unknown, 2);
    t.equal((await end(groups, unknown, 1, randomUUID(), 1)).kind, 'complete', 'said late');
  });

  test('a chord without a size is given up when nothing has changed, once, and for good', async (t, groups, _backend, open) => {
    const [groupId, first, second, third] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
    const other = (await open()).groups;
    t.strictSame(await end(groups, groupId, 0, first, 0), { kind: 'unsized', counted: 1 });
    t.strictSame(await end(groups, groupId, 1, second, 1), { kind: 'unsized', counted: 2 });
    t.strictSame(await groups.giveUpChord(groupId, first, 1), { kind: 'unsized', counted: 2 }, 'another part has ended');
    const message = `the size of chord ${groupId} was lost or never stored: 2 parts have ended, and of how many is not known`;
    const failed = { kind: 'failed', exception: { exc_type: 'ChordError', exc_message: [message] } };
    const both = await Promise.all([groups.giveUpChord(groupId, first, 2), other?.giveUpChord(groupId, second, 2)]);
    t.equal(both.filter((outcome) => outcome?.kind === 'counted').length, 1, 'one of them fails it');
    t.match(
      both.find((outcome) => outcome?.kind !== 'counted'),
      failed,
    );
    await groups.setChordSize(groupId, 3);
    t.strictSame(await end(groups, groupId, 2, third, 2), counted, 'its body has failed: it does not run');
    t.strictSame(await groups.giveUpChord(groupId, third, 3), counted);
  });

  test('a chord with a size, one that has ended and one that nobody counted are not given up', async (t, groups) => {
    const [groupId, taskId] = [randomUUID(), randomUUID()];
    t.strictSame(await end(groups, groupId, 0, taskId, 0), { kind: 'unsized', counted: 1 });
    await groups.setChordSize(groupId, 2);
    t.strictSame(await groups.giveUpChord(groupId, taskId, 1), counted);
    t.equal((await end(groups, groupId, 1, randomUUID(), 1)).kind, 'complete');
    await groups.endChord(groupId);
    t.strictSame(await groups.giveUpChord(groupId, taskId, 1), counted);
    t.strictSame(await groups.giveUpChord(randomUUID(), taskId, 1), counted);
  });

  test('a part without a stored result counts all the same', async (t, groups, backend) => {
    const [groupId, taskId] = [randomUUID(), randomUUID()];
    await groups.setChordSize(groupId, 1);
    const outcome = await end(groups, groupId, 0, taskId, 7, 'SUCCESS', { ignoreResult: true });
    t.strictSame(outcome, { kind: 'complete', resultsJson: '[7]' });
    t.equal(await backend.get(taskId), null);
  });

  test('of a saved group the results come in its shape', async (t, groups) => {
    const [groupId, inner, a, b, c] = [randomUUID(), randomUUID(), randomUUID(), randomUUID(), randomUUID()];
    const group: ResultTuple = [
      [groupId, null],
      [
        [[a, null], null],
        [
          [inner, null],
          [
            [[b, null], null],
            [[c, null], null],
          ],
        ],
      ],
    ];
    await groups.saveGroup(groupId, group);
    await groups.setChordSize(groupId, 3);
    await end(groups, groupId, 0, a, 1);
    await end(groups, groupId, 1, b, 2);
    const outcome = await end(groups, groupId, 1, c, 3);
    t.strictSame(JSON.parse(outcome.kind === 'complete' ? outcome.resultsJson : '[]'), [1, [2, 3]]);
  });

  test('groups are saved, restored and deleted', async (t, groups, _backend, open) => {
    const groupId = randomUUID();
    t.equal(await groups.restoreGroup(groupId), null);
    const group: ResultTuple = [
      [groupId, [['parent', null], null]],
      [
        [['a', null], null],
        [['b', null], null],
      ],
    ];
    await groups.saveGroup(groupId, group);
    t.strictSame(await (await open()).groups?.restoreGroup(groupId), group);
    await groups.deleteGroup(groupId);
    t.equal(await groups.restoreGroup(groupId), null);
  });

  test('one copy of a message runs', async (t, groups, _backend, open) => {
    const taskId = randomUUID();
    const other = (await open()).groups;
    t.equal(await groups.claimRun(taskId, 'a'), 'first');
    t.equal(await other?.claimRun(taskId, 'b'), 'other');
    t.equal(await other?.claimRun(taskId, 'a'), 'same');
    const claims = await Promise.all(['c', 'd', 'e'].map((mark, at) => (at === 1 ? other : groups)?.claimRun(`${taskId} 2`, mark)));
    t.equal(claims.filter((claim) => claim === 'first').length, 1);
  });

  test('join: not yet, all, a failure, and one that comes while it waits', async (t, groups, backend) => {
    const [a, b] = [randomUUID(), randomUUID()];
    const group: ResultTuple = [
      ['g', null],
      [
        [[a, null], null],
        [[b, null], null],
      ],
    ];
    await backend.store(record(a, 'SUCCESS', { x: 1 }));
    t.strictSame(await groups.join(group, 0), { kind: 'waiting' });
    const joining = groups.join(group, minuteMs);
    await backend.store(record(b, 'FAILURE', boom));
    t.match(await joining, { kind: 'failed', taskId: b });
    await backend.store(record(b, 'SUCCESS', 2));
    const joined = await groups.join(group, 0);
    t.strictSame(JSON.parse(joined.kind === 'complete' ? joined.resultsJson : '[]'), [{ x: 1 }, 2]);
    t.match(await groups.join([[b, null], null], 0), { kind: 'complete', resultsJson: '[2]' }, 'a single task');
  });
}
