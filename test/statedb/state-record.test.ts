/** The format of the state file: what was written is read, and of what was not only that which is whole. */
import t from 'tap';
import { encodeChange, encodeState, readState, type StateChange } from '../../src/statedb/state-record.ts';

const before: StateChange[] = [
  { ids: [], stamps: [], clock: 7 },
  {
    ids: [
      ['first', 1_790_000_000_000],
      ['zweité\n😀', 1_790_000_000_001],
    ],
    stamps: [['monitoring_id', '"m-1"', 1_790_000_000_002]],
  },
];
const added: StateChange = {
  ids: [
    ['third', 1_790_000_000_003],
    ['fourth', 1_790_000_000_003],
  ],
  stamps: [],
  clock: 9,
};
const old = Buffer.from(encodeState(before));
const next = Buffer.concat([old, Buffer.from(encodeChange(added))]);

/** What counts of a list of changes. */
function sum(changes: readonly StateChange[]): unknown {
  const ids = new Map(changes.flatMap(({ ids: rows = [] }) => rows));
  const stamps = changes.flatMap(({ stamps: rows = [] }) => rows);
  return { ids: [...ids], stamps, clock: Math.max(...changes.map(({ clock = 0 }) => clock)) };
}
const oldSum = JSON.stringify(sum(before));
const newSum = JSON.stringify(sum([...before, added]));

t.test('there and back', async (t) => {
  t.strictSame(readState(old), { condition: 'whole', changes: [before[0], { ...before[1] }] });
  t.strictSame(readState(next), { condition: 'whole', changes: [before[0], before[1], added] });
});

t.test('cut off anywhere: the old state, the new one, or known to be damaged', async (t) => {
  for (let length = 0; length <= next.length; length += 1) {
    const { condition, changes } = readState(next.subarray(0, length));
    const found = JSON.stringify(sum(changes));
    // The last line break is not needed: of the state as it began, and of the change.
    const expected = length < old.length - 1 ? 'damaged' : 'whole';
    if (condition !== expected) t.fail(`cut off at ${length} it must be ${expected}, got ${condition}`);
    if (expected === 'whole' && found !== (length < next.length - 1 ? oldSum : newSum))
      t.fail(`cut off at ${length} it must be a state that was, got ${found}`);
  }
});

t.test('a wrong byte anywhere: a state that was, or known to be damaged; never an id that nobody revoked', async (t) => {
  const known = new Set(['first', 'zweité\n😀', 'third', 'fourth']);
  let damaged = 0;
  for (let at = 0; at < next.length; at += 1) {
    for (const change of [(byte: number) => byte ^ 0x01, (byte: number) => byte ^ 0x80, () => 0x00, () => 0x0a, () => 0x20, () => 0xff]) {
      const file = Buffer.from(next);
      const byte = file[at]!;
      file[at] = change(byte);
      if (file[at] === byte) continue;
      const { condition, changes } = readState(file);
      if (condition === 'foreign') t.fail(`a wrong byte at ${at} must not make it somebody else's file`);
      const found = JSON.stringify(sum(changes));
      if (condition === 'damaged') damaged += 1;
      else if (found !== oldSum && found !== newSum) t.fail(`a wrong byte at ${at}: got ${found}`);
      for (const { ids = [] } of changes) for (const [id] of ids) if (!known.has(id)) t.fail(`nobody revoked ${id} (${at})`);
    }
  }
  t.ok(damaged > next.length * 4, `most of it is noticed, got ${damaged}`);
});

t.test('zeros instead of the end, as a loss of power leaves them', async (t) => {
  for (let length = 0; length < next.length; length += 1) {
    const file = Buffer.from(next);
    file.fill(0, length);
    const { condition, changes } = readState(file);
    if (condition === 'whole' && ![oldSum, newSum].includes(JSON.stringify(sum(changes)))) t.fail(`zeros from ${length}`);
    if (condition === 'foreign') t.fail(`zeros from ${length} must not make it somebody else's file`);
  }
});

t.test('what is whole in a damaged file is kept', async (t) => {
  const file = Buffer.from(next);
  file[file.indexOf('first')] = 0x78;
  const { condition, changes } = readState(file);
  t.equal(condition, 'damaged');
  t.strictSame(changes, [before[0], added]);
});

t.test('a file of somebody else', async (t) => {
  for (const text of [
    'root:x:0:0:root:/root:/bin/bash\n',
    '\n\nalso with an empty line\n',
    'umbel is mentioned',
    'SQLite format 3\0 and more',
  ])
    t.equal(readState(Buffer.from(text)).condition, 'foreign', JSON.stringify(text));
});

t.test('a checksum is not enough: the line must say what lines say', async (t) => {
  const wrong: readonly object[] = [
    { ids: 'a' },
    { ids: [['a']] },
    { ids: [[1, 2]] },
    { stamps: [['a', 1, 2]] },
    { clock: 1.5 },
    [1],
    { lines: 1 },
  ];
  for (const change of wrong)
    t.match(
      readState(Buffer.concat([old, Buffer.from(encodeChange(change))])),
      { condition: 'damaged', changes: { length: 2 } },
      JSON.stringify(change),
    );
});
