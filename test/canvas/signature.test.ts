import t from 'tap';
import { mergeSignature, readSignature, signature, tasksOf } from '../../src/canvas/signature.ts';
import { encodeJson, parseJson } from '../../src/protocol/json.ts';
import { loadVectors } from '../protocol/vectors.ts';

t.test('every signature of Celery is read and written back', async (t) => {
  const file = loadVectors(t, 'signatures.json') as { signatures: { name: string; json_text: string }[] } | null;
  if (file === null) return;
  t.ok(file.signatures.length >= 20);
  for (const { name, json_text } of file.signatures) {
    const read = readSignature(parseJson(json_text));
    t.equal(encodeJson(read), JSON.stringify(JSON.parse(json_text)), name);
    if (read.subtask_type === 'chain' || read.subtask_type === 'group') t.ok(tasksOf(read, name).length > 0, `${name} has tasks`);
  }
});

t.test('missing and unknown keys', async (t) => {
  t.strictSame(readSignature({ task: 'a', unknown: 2 }), {
    task: 'a',
    args: [],
    kwargs: {},
    options: {},
    subtask_type: null,
    immutable: false,
  });
  t.strictSame(readSignature({ task: 'a', args: null, kwargs: null, options: null, subtask_type: '' }), signature('a'));
  t.strictSame(readSignature({ task: 'a', chord_size: null }), { ...signature('a'), chord_size: null }, 'of senders before Celery 5.1');
});

t.test('bad ones say where', async (t) => {
  const bad: unknown[] = [
    null,
    'a',
    [],
    {},
    { task: '' },
    { task: 5 },
    { task: 'a', args: {} },
    { task: 'a', kwargs: [] },
    { task: 'a', options: 1 },
    { task: 'a', subtask_type: 1 },
  ];
  for (const value of bad)
    t.throws(
      () => readSignature(value, 'callbacks[1]'),
      { code: 'MESSAGE_INVALID', message: /\(callbacks\[1\]\)$/ },
      JSON.stringify(value),
    );
  t.throws(() => tasksOf({ ...signature('celery.chain'), subtask_type: 'chain' }, 'here'), {
    code: 'MESSAGE_INVALID',
    message: /chain must be a list.*here/,
  });
  t.throws(() => tasksOf(signature('celery.chain', [], { tasks: [signature('a'), 5] }), 'here'), { message: /here\.tasks\[1\]/ });
});

t.test('merging', async (t) => {
  const stored = signature('a', [2], { x: 1, y: 1 }, { queue: 'q', group_id: 'g', priority: 1 });
  const parts = { args: [1], kwargs: { y: 2 }, options: { queue: 'r', group_id: 'other', priority: null, parent_id: 'p', chain: [] } };
  t.strictSame(mergeSignature(stored, parts), {
    ...stored,
    args: [1, 2],
    kwargs: { x: 1, y: 2 },
    options: { queue: 'r', group_id: 'g', priority: 1, parent_id: 'p', chain: [] },
  });
  const immutable = { ...stored, immutable: true };
  t.match(mergeSignature(immutable, parts), { args: [2], kwargs: { x: 1, y: 1 }, options: { queue: 'r' } });
  t.strictSame(stored.args, [2], 'the stored one is left alone');
  t.strictSame(mergeSignature(signature('a'), { options: { group_id: 'g' } }).options, { group_id: 'g' });
});

t.test('stored stamps stay', async (t) => {
  const stamped = signature('a', [], {}, { stamped_headers: ['m'], m: 1 });
  t.strictSame(mergeSignature(stamped, { options: { stamped_headers: ['n'], m: 2, n: 3 } }).options, {
    stamped_headers: ['m'],
    m: 1,
    n: 3,
  });
});
