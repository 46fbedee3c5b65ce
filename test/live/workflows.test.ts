/**
 * Workflows on every broker, with Python Celery sending them, with our own client sending them, and with tasks that send them: chains,
 * groups, chords, each in each, callbacks and error callbacks, map, starmap, chunks, replaced tasks, parts added from within.
 *
 * Results are read with our client, so that the embedded broker is looked at in the same way. There Python's own result backend cannot count,
 * so that its chords come with `celery.chord_unlock`.
 */
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { resultOfTuple } from '../../src/client/async-result.ts';
import { readResultTuple } from '../../src/protocol/result-tuple.ts';
import type { AnyResult } from '../../src/task/async-result.ts';
import type { Signature } from '../../src/task/signature.ts';
import { taskHandle } from '../../src/task/task.ts';
import { chain, chord, group, signature } from '../../src/task/workflow.ts';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { type BrokerKind, openBrokerAndResults } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(300_000);

const timeoutMs = 60_000;

const pythonTasks = (broker: string, backend: string, notes: string): string => `
from celery import Celery, chain, chord, group, signature
app = Celery('tasks', broker='${broker}', backend='${backend}')
def declare(name):
    @app.task(name=name)
    def task(*args, **kwargs): pass
    return task
add, mul, tsum, same, boom, note, swap, grow = map(declare, ['add', 'mul', 'tsum', 'same', 'boom', 'note', 'swap', 'grow'])
@app.task(name='py.told')
def told(*args):
    with open('${notes}', 'a') as file: print('told', len(args), *args, file=file)
@app.task(name='py.fails')
def fails(): raise ValueError('in Python')
`;

const umbelTasks = `
import { appendFileSync } from 'node:fs';
import { chain, chord, group, signature, task } from 'umbel';
class ValueError extends Error {
  name = 'ValueError';
}
export const add = task({ name: 'add' }, (x, y = 0) => x + y);
export const mul = task({ name: 'mul' }, (x, y) => x * y);
export const tsum = task({ name: 'tsum' }, (values, extra = 0) => values.reduce((sum, value) => sum + value, extra));
export const same = task({ name: 'same' }, (value) => value);
export const boom = task({ name: 'boom' }, (..._args) => {
  throw new ValueError('boom');
});
export const note = task({ name: 'note', bind: true }, (context, name) => {
  appendFileSync(process.env.NOTES, [name, context.parentId, context.rootId].join(' ') + '\\n');
  return name;
});
export const oops = task({ name: 'oops', errbackStyle: 'new' }, (request, exc, traceback, mark) => {
  const said = exc === null ? [exc, traceback] : [exc.name, exc.message.replaceAll(' ', '_'), traceback?.includes(exc.name)];
  appendFileSync(process.env.NOTES, [mark, request.id, request.name, JSON.stringify(request.args), ...said].join(' ') + '\\n');
});
export const stuck = task({ name: 'stuck', timeLimit: 0.3 }, () => {
  for (;;);
});
/** Another workflow in its place. */
export const swap = task({ name: 'swap', bind: true }, (context, how, x) => {
  if (how === 'task') return context.replace(add.s(x, 10));
  if (how === 'chain') return context.replace(chain(add.s(x, 10), mul.s(2)));
  if (how === 'group') return context.replace(group(add.s(x, 1), add.s(x, 2)));
  if (how === 'chord') return context.replace(chord([add.s(x, 1), add.s(x, 2)], tsum.s()));
  return context.replace(boom.s());
});
/** A part more for its chord. */
export const grow = task({ name: 'grow', bind: true }, async (context, x) => {
  await context.addToChord(add.s(x, 1000));
  return x;
});
/** Sends workflows of its own. */
export const send = task({ name: 'send', bind: true }, async (context) => [
  await add.delay(1, 2),
  await chain(add.s(1, 2), mul.s(3)).delay(),
  await group(add.s(1, 1), add.s(2, 2)).delay(),
  await chord([add.s(1, 1), add.s(2, 2)], tsum.s()).delay(),
  await chain(add.s(1, 1), group(add.s(1), add.s(2)), tsum.s()).delay(),
]);
export const received = task({ name: 'received', bind: true }, async (context, signed) => signature(signed).delay(4));
/** What it was called with beside its arguments. */
export const place = task({ name: 'place', bind: true }, (context) => ({
  root: context.rootId, parent: context.parentId, stamps: context.stamps, names: context.stampedHeaders, priority: context.deliveryInfo.priority,
}));
export const callPlace = task({ name: 'callPlace', bind: true }, async () => place.delay());
`;

const add = taskHandle<[number, number?], number>('add');
const mul = taskHandle<[number, number], number>('mul');
const tsum = taskHandle<[number[], number?], number>('tsum');
const same = taskHandle<[unknown], unknown>('same');
const boom = taskHandle<unknown[], never>('boom');
const swap = taskHandle<[string, number], unknown>('swap');
const grow = taskHandle<[number], number>('grow');
const unlisted = (n: number): readonly (readonly [number, number])[] => Array.from({ length: n }, (_, index) => [index, index]);

/** In Python, here, and what it comes to. Python unrolls inner groups from their ends; here they keep their order. */
const forms: readonly (readonly [string, () => Signature<unknown>, unknown])[] = [
  ['chain(add.s(1, 2), mul.s(3), add.s(4))', () => chain(add.s(1, 2), mul.s(3), add.s(4)), 13],
  ['chain(add.s(1, 2), add.si(5, 5))', () => chain(add.s(1, 2), add.si(5, 5)), 10],
  ['group(add.s(i, i) for i in range(5))', () => group(unlisted(5).map(([x, y]) => add.s(x, y))), [0, 2, 4, 6, 8]],
  ['group(add.s(1, 1), group(add.s(2, 2)))', () => group<unknown>(add.s(1, 1), group(add.s(2, 2))), [2, 4]],
  ['chain(add.s(1, 1), group(add.s(1), add.s(2)))', () => chain(add.s(1, 1), group(add.s(1), add.s(2))), [3, 4]],
  [
    'chord([add.s(i, i) for i in range(10)], tsum.s())',
    () =>
      chord(
        unlisted(10).map(([x, y]) => add.s(x, y)),
        tsum.s(),
      ),
    90,
  ],
  ['chord([add.s(1, 1), add.s(2, 2)], add.si(20, 3))', () => chord([add.s(1, 1), add.s(2, 2)], add.si(20, 3)), 23],
  [
    'chord([chain(add.s(1, 1), add.s(2)), chain(add.s(3, 3), add.s(4))], tsum.s())',
    () => chord([chain(add.s(1, 1), add.s(2)), chain(add.s(3, 3), add.s(4))], tsum.s()),
    14,
  ],
  [
    'chord([add.s(1, 1), chord([add.s(2, 2), add.s(3, 3)], tsum.s())], tsum.s())',
    () => chord([add.s(1, 1), chord([add.s(2, 2), add.s(3, 3)], tsum.s())], tsum.s()),
    12,
  ],
  ['chord([add.s(1, 1), add.s(2, 2)], chain(tsum.s(), mul.s(5)))', () => chord([add.s(1, 1), add.s(2, 2)], chain(tsum.s(), mul.s(5))), 30],
  [
    'chain(add.s(1, 1), group(add.s(1), add.s(2)), tsum.s(), mul.s(3))',
    () => chain(add.s(1, 1), group(add.s(1), add.s(2)), tsum.s(), mul.s(3)),
    21,
  ],
  // Chains of groups, groups of one and of none.
  [
    'chain(group(add.s(1, 1), add.s(2, 2)), group(tsum.s(), tsum.s(1)))',
    () => chain(group(add.s(1, 1), add.s(2, 2)), group(tsum.s(), tsum.s(1))),
    [6, 7],
  ],
  [
    'chain(group(add.s(1, 1), add.s(2, 2)), group(tsum.s(), tsum.s(1)), tsum.s())',
    () => chain(group(add.s(1, 1), add.s(2, 2)), group(tsum.s(), tsum.s(1)), tsum.s()),
    13,
  ],
  ['group(add.s(1, 1))', () => group(add.s(1, 1)), [2]],
  ['group([])', () => group([]), []],
  ['chain(add.s(1, 1), group(add.s(2)))', () => chain(add.s(1, 1), group(add.s(2))), 4],
  ['chord([add.s(1, 1)], tsum.s())', () => chord([add.s(1, 1)], tsum.s()), 2],
  ['chord([], tsum.s())', () => chord([], tsum.s()), 0],
  // Chords in chords and in chains, bodies of every kind.
  [
    'chain(add.s(1, 1), chord([add.s(1), add.s(2)], tsum.s()), mul.s(2))',
    () => chain(add.s(1, 1), chord([add.s(1), add.s(2)], tsum.s()), mul.s(2)),
    14,
  ],
  [
    'chord([add.s(1, 1), add.s(2, 2)], chord([tsum.s(), tsum.s(10)], tsum.s()))',
    () => chord([add.s(1, 1), add.s(2, 2)], chord([tsum.s(), tsum.s(10)], tsum.s())),
    22,
  ],
  [
    'chord([add.s(1, 1), add.s(2, 2)], group(tsum.s(), tsum.s(1)))',
    () => chord([add.s(1, 1), add.s(2, 2)], group(tsum.s(), tsum.s(1))),
    [6, 7],
  ],
  [
    'chord([chord([chord([add.s(1, 1), add.s(2, 2)], tsum.s()), add.s(1, 1)], tsum.s()), add.s(3, 3)], tsum.s())',
    () => chord([chord([chord([add.s(1, 1), add.s(2, 2)], tsum.s()), add.s(1, 1)], tsum.s()), add.s(3, 3)], tsum.s()),
    14,
  ],
  [
    'chain(add.s(9, 9), chord([add.si(1, 1), add.si(2, 2)], tsum.s()))',
    () => chain(add.s(9, 9), chord([add.si(1, 1), add.si(2, 2)], tsum.s())),
    6,
  ],
  ['same.map([1, [2], "three"])', () => same.map([1, [2], 'three']), [1, [2], 'three']],
  [
    'add.starmap([(1, 1), (2, 3)])',
    () =>
      add.starmap([
        [1, 1],
        [2, 3],
      ]),
    [2, 5],
  ],
  ['add.chunks([(i, i) for i in range(5)], 2)', () => add.chunks(unlisted(5), 2), [[0, 2], [4, 6], [8]]],
  ["swap.s('task', 5)", () => swap.s('task', 5), 15],
  ["swap.s('chain', 5)", () => swap.s('chain', 5), 30],
  ["swap.s('group', 5)", () => swap.s('group', 5), [6, 7]],
  ["swap.s('chord', 5)", () => swap.s('chord', 5), 13],
  ["chain(swap.s('chain', 5), add.s(1))", () => chain(swap.s('chain', 5), add.s(1)), 31],
  ["chain(swap.s('group', 5), tsum.s())", () => chain(swap.s('group', 5), tsum.s()), 13],
  ["chord([swap.s('task', 5), swap.s('chord', 1)], tsum.s())", () => chord([swap.s('task', 5), swap.s('chord', 1)], tsum.s()), 20],
  ["chord([swap.s('group', 5), add.s(1, 1)], same.s())", () => chord([swap.s('group', 5), add.s(1, 1)], same.s()), [[6, 7], 2]],
];

/** With the first line of what it fails with. */
const failures: readonly (readonly [string, () => Signature<unknown>, RegExp])[] = [
  ['chain(boom.s(), add.s(1))', () => chain(boom.s(), add.s(1)), /^boom$/],
  ["swap.s('boom', 1)", () => swap.s('boom', 1), /^boom$/],
  [
    'chord([add.s(1, 1), boom.s()], tsum.s())',
    () => chord([add.s(1, 1), boom.s()], tsum.s()),
    /^Dependency [\w-]{36} raised ValueError\('boom'\)$/,
  ],
  [
    'chord([add.s(1, 1), chord([boom.s(), add.s(1, 1)], tsum.s())], tsum.s())',
    () => chord([add.s(1, 1), chord([boom.s(), add.s(1, 1)], tsum.s())], tsum.s()),
    /^Dependency [\w-]{36} raised ChordError\(.*raised ValueError\(/,
  ],
  [
    "chord([swap.s('boom', 1), add.s(1, 1)], tsum.s())",
    () => chord([swap.s('boom', 1), add.s(1, 1)], tsum.s()),
    /^Dependency [\w-]{36} raised ValueError\('boom'\)$/,
  ],
];

async function value(result: AnyResult): Promise<unknown> {
  try {
    return await result.get({ timeoutMs });
  } catch (error) {
    return error;
  }
}

async function everywhere(t: Test, kind: BrokerKind): Promise<void> {
  const folder = new LiveFolder(t);
  const place = await openBrokerAndResults(t, kind, folder);
  /** Workers of Python, and a result backend that tells how many parts there are. */
  const hasPython = kind !== 'sqlite';
  const pythonBackend = hasPython ? place.backend : `db+${folder.sqliteUrl('python.db')}`;
  const module = folder.write('workflows.mjs', umbelTasks);
  const env = { UMBEL_RESULT_BACKEND: place.backend, UMBEL_TASK_INHERIT_PARENT_PRIORITY: 'true', NOTES: folder.file('notes.log') };
  const worker = await folder.worker(['-A', module, '-b', place.url, '-c', '2'], { env }).ready();
  const app = await startedApp(t, { broker: place.url, backend: place.backend });
  const backend = app.backend;
  const notes = (name: string): string[][] =>
    existsSync(folder.file('notes.log'))
      ? folder
          .read('notes.log')
          .split('\n')
          .map((line) => line.split(' '))
          .filter(([noted]) => noted === name)
      : [];

  const celery = new PythonCelery(t, pythonTasks(place.pythonUrl, pythonBackend, folder.file('notes.log')));
  const fromPython = async (calls: string, before = ''): Promise<AnyResult[]> => {
    const said = await celery.script(`${before}\nfor result in [${calls}]: say(result.as_tuple())`).rest();
    return said.map((tuple) => resultOfTuple(readResultTuple(tuple), backend));
  };

  await t.test('Python sends', async (t) => {
    const all = [...forms, ...failures];
    const calls = all.map(([form]) => `(${form}).apply_async()`).join(', ');
    const linked = [
      "add.apply_async((2, 2), link=[mul.s(3), note.si('linked')])",
      "boom.apply_async(link_error=note.si('failed'))",
      "chord([add.s(1, 1), boom.s()], tsum.s().on_error(note.si('python-chord-failed'))).apply_async()",
    ].join(', ');
    const results = await fromPython(`${calls}, ${linked}`);
    await check(t, all, results);
    const [added, failed, chorded] = results.slice(all.length) as [AnyResult, AnyResult, AnyResult];
    await eventually(t, 'callbacks are called', () => notes('linked').length > 0 && notes('failed').length > 0);
    t.strictSame(notes('linked'), [['linked', added.id, added.id]]);
    t.strictSame(notes('failed'), [['failed', failed.id, failed.id]]);
    t.match(await value(chorded), { message: /Dependency/ });
    await eventually(t, 'the error callback of the chord is called', () => notes('python-chord-failed').length > 0);
    t.strictSame(notes('python-chord-failed'), [['python-chord-failed', chorded.id, chorded.id]], 'once, in the name of its body');
    if (hasPython) {
      const [grown] = await celery.script('say(chord([grow.s(1), add.s(2, 2)], same.s()).apply_async().as_tuple())').rest();
      t.strictSame(((await value(resultOfTuple(readResultTuple(grown), backend))) as number[]).sort(), [1, 1001, 4]);
    }
  });

  await t.test('our client sends', async (t) => {
    const all = [...forms, ...failures];
    const results = (await Promise.all(all.map(([, form]) => form().delay()))) as AnyResult[];
    await check(t, all, results);
    const grown = await chord([grow.s(1), add.s(2, 2)], same.s()).delay();
    t.strictSame(((await grown.get({ timeoutMs })) as number[]).sort(), [1, 1001, 4], 'a part added from within');
    const note = taskHandle<[string], string>('note');
    const bad = chord([add.s(1, 1), boom.s()], tsum.s()).linkError(note.si('chord-failed'));
    const failed = await bad.delay();
    t.match(await value(failed), { message: /Dependency/ });
    await eventually(t, 'the error callback of the chord is called', () => notes('chord-failed').length > 0);
    t.equal(notes('chord-failed').length, 1, 'the error callback of the chord, once');
    const called = await chain(add.s(1, 1), mul.s(3)).delay();
    t.equal(await called.get({ timeoutMs }), 6);
    t.equal(await called.parent?.get({ timeoutMs }), 2, 'the steps before it');
    const pair = await group(add.s(1, 1), add.s(2, 2)).delay();
    await pair.save();
    t.strictSame(await (await app.restoreGroup(pair.id))?.join({ timeoutMs }), [2, 4]);
    t.equal(await pair.successful(), true);
    t.equal(await pair.completedCount(), 2);
    await pair.delete();
    t.equal(await app.restoreGroup(pair.id), null);
  });

  await t.test('tasks send', async (t) => {
    const sent = await taskHandle<[], unknown[]>('send').delay();
    const results = (await sent.get({ timeoutMs })).map((tuple) => resultOfTuple(readResultTuple(tuple), backend));
    t.strictSame(await Promise.all(results.map(value)), [3, 9, [2, 4], 6, 7]);
    const children = await sent.children();
    t.equal(children.length, 5, 'each of them a child of the task');
    t.equal(children[0]?.id, results[0]?.id);
    const received = await taskHandle<[unknown], unknown>('received').delay(add.s(3));
    t.equal(await value(resultOfTuple(readResultTuple(await received.get({ timeoutMs })), backend)), 7, 'a signature as an argument');
  });

  await t.test('root, parent and stamps', async (t) => {
    const where = taskHandle<[], unknown>('place');
    const caller = await taskHandle<[], unknown>('callPlace').applyAsync({ stamps: { customer: 'c-7' } });
    const called = resultOfTuple(readResultTuple(await caller.get({ timeoutMs })), backend);
    t.match(await value(called), { root: caller.id, parent: caller.id, names: ['customer'], stamps: { customer: 'c-7' } });
    const steps = await chain(add.s(1, 1), where.si()).stamp({ customer: 'c-8' }).delay();
    t.match(await value(steps), { parent: steps.parent?.id, root: steps.parent?.id, stamps: { customer: 'c-8' } });
    const legacy = signature('celery.chord', { kwargs: { header: [add.s(1, 1)], body: tsum.s() } });
    const ended = resultOfTuple(readResultTuple(await value((await legacy.delay()) as AnyResult)), backend);
    t.equal(await value(ended), 2, 'celery.chord as a task');
    t.match(await value((await signature('celery.chain').delay()) as AnyResult), { message: 'chain is not a real task' });
    t.strictSame(await value((await signature('celery.accumulate', { args: [1, 2] }).delay()) as AnyResult), [1, 2]);
    t.equal(await value((await signature('celery.backend_cleanup').delay()) as AnyResult), null);
  });

  await t.test('error callbacks of both styles', async (t) => {
    const errbacks = "[signature('oops', ('from-js',)), signature('note', ('old-style',), immutable=True)]";
    const [failed, ended] = await fromPython(
      `boom.apply_async((1, 'x'), link_error=${errbacks}), signature('stuck').apply_async(link_error=[signature('oops', ('from-parent',))])`,
    );
    await eventually(t, 'they are called', () => ['from-js', 'old-style', 'from-parent'].every((name) => notes(name).length > 0));
    t.strictSame(notes('from-js'), [['from-js', failed?.id, 'boom', '[1,"x"]', 'ValueError', 'boom', 'true']]);
    t.strictSame(notes('old-style'), [['old-style', failed?.id, failed?.id]]);
    t.strictSame(notes('from-parent'), [['from-parent', ended?.id, 'stuck', '[]', 'TimeLimitExceeded', '0.3', 'true']]);
    if (!hasPython) return;
    await celery.worker(['py']);
    const py = "signature('py.told', queue='py')";
    const [here, there] = await fromPython(
      `boom.apply_async(link_error=${py}), fails.apply_async(queue='py', link_error=signature('oops', ('from-python',)))`,
    );
    await eventually(t, 'each is called by the other side', () => notes('told').length > 0 && notes('from-python').length > 0);
    t.strictSame(notes('told'), [['told', '1', here?.id]], 'Celery would call it with the error; of here it is unknown');
    t.strictSame(notes('from-python'), [['from-python', there?.id, '', '', '', '']], 'as Celery calls what it does not know');
  });

  await t.test('priorities are inherited', async (t) => {
    const [called, step, linked] = (await fromPython(`
  signature('callPlace').apply_async(priority=7),
  chain(signature('add', (1, 1), priority=6), signature('place', immutable=True)).apply_async(),
  signature('add', (1, 1)).apply_async(priority=4, link=signature('place', immutable=True, task_id='linked'))`)) as [
      AnyResult,
      AnyResult,
      AnyResult,
    ];
    t.match(await value(resultOfTuple(readResultTuple(await value(called)), backend)), { priority: 7 }, 'by what a task calls');
    t.match(await value(step), { priority: 6 }, 'by the next step');
    await value(linked);
    t.match(await value(resultOfTuple([['linked', null], null], backend)), { priority: 4 }, 'by a callback');
  });

  await t.test('protocol 1', async (t) => {
    const old = folder.worker(['-A', module, '-b', place.url, '-c', '1', '-Q', 'old', '-n', 'old@localhost'], {
      env: { ...env, UMBEL_TASK_PROTOCOL: '1' },
    });
    const [inChain, inGroups] = (await fromPython(
      'chain(add.s(1, 2), mul.s(3), add.s(4)).apply_async(), chain(add.s(1, 1), group(add.s(1), add.s(2)), tsum.s()).apply_async()',
      'app.conf.task_protocol = 1',
    )) as [AnyResult, AnyResult];
    t.equal(await value(inChain), 13, 'a chain of Python');
    if (hasPython) t.equal(await value(inGroups), 7, 'with a chord in it');
    await old.ready();
    const sent = await taskHandle<[], unknown[]>('send').applyAsync({ queue: 'old' });
    const results = (await sent.get({ timeoutMs })).map((tuple) => resultOfTuple(readResultTuple(tuple), backend));
    t.strictSame(await Promise.all(results.map(value)), [3, 9, [2, 4], 6, 7], 'workflows of ours');
    t.equal((await old.stop()).code, 0);
  });
  t.equal((await worker.stop()).code, 0);
}

async function check(
  t: Test,
  all: readonly (readonly [string, () => Signature<unknown>, unknown])[],
  results: readonly AnyResult[],
): Promise<void> {
  for (const [index, [form, , expected]] of all.entries()) {
    const found = await value(results[index] as AnyResult);
    if (expected instanceof RegExp) t.match(found, { message: expected }, form);
    else t.strictSame(found, expected, form);
  }
}

const skip = celeryMissing();
void t.test('embedded', { skip }, (t) => everywhere(t, 'sqlite'));
void t.test('redis', { skip }, (t) => everywhere(t, 'redis'));
void t.test('rabbitmq, with results in redis', { skip }, (t) => everywhere(t, 'rabbitmq'));
