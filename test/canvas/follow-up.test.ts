import t from 'tap';
import { resultsToken } from '../../src/canvas/chord-end.ts';
import type { FinishedTask } from '../../src/canvas/finished-task.ts';
import { followUpsOfFailure, followUpsOfSuccess } from '../../src/canvas/follow-up.ts';
import { type Signature, signature } from '../../src/canvas/signature.ts';
import { encodeTask, readContent, readReceipt, type TaskContent } from '../../src/protocol/task-message.ts';
import { type AmqpMessage, loadVectors, messageOfAmqp, type TaskVector } from '../protocol/vectors.ts';

const finished: FinishedTask = { id: 'done', rootId: 'root', group: null, priority: null, origin: 'gen1@example.com' };
const nothing: TaskContent = { args: [], kwargs: {}, callbacks: null, errbacks: null, chain: null, chord: null };
const nowMs = Date.UTC(2030, 0, 2);

/** new-1, new-2, … */
function sources() {
  let count = 0;
  return { nowMs, newId: () => `new-${++count}` };
}

const add = (...args: unknown[]) => signature('proj.add', args);
const compound = (type: 'chain' | 'group', tasks: unknown[], options = {}): Signature => ({
  ...signature(`celery.${type}`, [], { tasks }, options),
  subtask_type: type,
});
const chain = (...tasks: unknown[]) => compound('chain', tasks);
const group = (...tasks: unknown[]) => compound('group', tasks);
const chord = { ...signature('celery.chord', [], { kwargs: {}, header: [add()], body: add() }), subtask_type: 'chord' };
const withOptions = (sig: Signature, options: Record<string, unknown>): Signature => ({ ...sig, options });

const succeed = (content: Partial<TaskContent>, result: unknown = 5, task = finished) =>
  followUpsOfSuccess(task, { ...nothing, ...content }, result, sources());
const fail = (content: Partial<TaskContent>, task = finished) => followUpsOfFailure(task, { ...nothing, ...content }, sources());

t.test('nothing to do', async (t) => {
  const none = { publish: [], unsupported: [], children: [], failedSteps: [], chords: [] };
  t.strictSame(succeed({}), none);
  t.strictSame(succeed({ callbacks: [], chain: [], errbacks: [add()] }), none, 'error callbacks are for failures');
  t.strictSame(fail({}), none);
  t.strictSame(fail({ callbacks: [add()] }), none, 'callbacks are for successes');
});

t.test('one callback', async (t) => {
  const { publish, children, unsupported } = succeed({ callbacks: [add(10)] });
  t.strictSame(publish, [
    { task: 'proj.add', id: 'new-1', args: [5, 10], kwargs: {}, origin: 'gen1@example.com', route: {}, parentId: 'done', rootId: 'root' },
  ]);
  t.strictSame(children, [[['new-1', null], null]]);
  t.strictSame(unsupported, []);
  t.strictSame(succeed({ callbacks: [{ ...add(10), immutable: true }] }).publish[0]?.args, [10]);
});

t.test('several callbacks: one group, but groups on their own', async (t) => {
  const { publish, children } = succeed({ callbacks: [add(1), group(add(2), add(3)), chain(add(4), add(5))] });
  t.match(
    publish.map(({ args, group, groupIndex }) => ({ args, group, groupIndex })),
    [
      { args: [5, 2], group: 'new-1', groupIndex: 0 },
      { args: [5, 3], group: 'new-1', groupIndex: 1 },
      { args: [5, 1], group: 'new-4', groupIndex: 0 },
      { args: [5, 4], group: undefined },
    ],
  );
  const last = publish[3]?.chain?.[0] as Signature;
  t.match(last, { args: [5], options: { group_id: 'new-4', group_index: 1 } }, 'the end of the chain is the member');
  t.equal(children.length, 2);
  t.strictSame(children[0], [
    ['new-1', null],
    [
      [['new-2', null], null],
      [['new-3', null], null],
    ],
  ]);
});

t.test('the next step of a chain takes the rest along', async (t) => {
  const [last, middle, next] = [
    withOptions(add(3), { task_id: 'c' }),
    withOptions(add(2), { task_id: 'b' }),
    withOptions(add(1), { task_id: 'a', reply_to: 'r', group_id: 'g' }),
  ];
  const { publish } = succeed({ chain: [last, middle, next] });
  t.match(publish, [{ id: 'a', args: [5, 1], chain: [last, middle], replyTo: 'r', group: 'g', parentId: 'done', rootId: 'root' }]);
  t.strictSame(succeed({ chain: [last] }).publish[0]?.chain, [], 'the last step: an empty list');
});

t.test('callbacks come before the chain', async (t) => {
  const { publish } = succeed({ callbacks: [add('callback')], chain: [add('chain')] });
  t.strictSame(
    publish.map((task) => task.args[1]),
    ['callback', 'chain'],
  );
});

t.test('a chain step that is a group', async (t) => {
  const step = compound('group', [withOptions(add(1), { task_id: 'm1' }), group(add(2), add(3))], {
    task_id: 'gid',
    root_id: null,
    parent_id: null,
  });
  const { publish, children } = succeed({ chain: [step] });
  t.match(publish, [
    { id: 'm1', args: [5, 1], group: 'gid', groupIndex: 0, chain: [], rootId: 'root', parentId: 'done' },
    { id: 'new-1', args: [5, 2], group: 'gid', groupIndex: 1 },
    { id: 'new-2', args: [5, 3], group: 'gid', groupIndex: 2 },
  ]);
  t.strictSame(children[0]?.[0], ['gid', null]);
});

t.test('links of a group reach every member beside their own', async (t) => {
  const step = compound('group', [withOptions(add(1), { link: [add('own')] }), add(2)], { link: add('all'), link_error: [add('err')] });
  const { publish } = succeed({ callbacks: [step] });
  t.match(publish[0], { callbacks: [{ args: ['own'] }, { args: ['all'] }], errbacks: [{ args: ['err'] }] });
  t.match(publish[1], { callbacks: [{ args: ['all'] }] });
  t.equal(publish[1]?.callbacks?.length, 1);
});

t.test('a chain as a callback', async (t) => {
  const { publish, children } = succeed({
    callbacks: [
      withOptions(chain(add(1), chain(add(2), group(add(3))), add(4)), {
        task_id: 'last',
        link: add('then'),
        link_error: add('err'),
        queue: 'q',
        chain: [add('outer')],
      }),
    ],
  });
  t.equal(publish.length, 1);
  const [first] = publish;
  t.match(first, { args: [5, 1], parentId: 'done', rootId: 'root', route: { queue: 'q' }, errbacks: [add('err')] });
  t.notOk(first?.callbacks);
  const steps = first?.chain as Signature[];
  t.strictSame(
    steps.map((step) => step.args[0]),
    ['outer', 4, 3, 2],
    'outer steps run last, own ones are reversed',
  );
  t.match(steps[1]?.options, { task_id: 'last', link: [add('then')], link_error: [add('err')] });
  t.ok(steps.slice(1).every((step) => typeof step.options.task_id === 'string' && step.options.root_id === 'root'));
  t.strictSame(children, [[[first?.id, null], null]]);
});

t.test('a chain with a chord further down is passed on', async (t) => {
  const { publish, unsupported } = succeed({ callbacks: [chain(add(1), group(add(2), add(3)), add(4))] });
  t.match(publish, [
    {
      args: [5, 1],
      chain: [{ subtask_type: 'chord', kwargs: { header: { kwargs: { tasks: [{ args: [2] }, { args: [3] }] } }, body: { args: [4] } } }],
    },
  ]);
  t.strictSame(unsupported, []);
});

t.test('a chord: its header is sent, each part with the body; whoever counts is told before', async (t) => {
  const sig = withOptions(
    { ...chord, kwargs: { kwargs: {}, header: [add(1), group(add(2), add(3))], body: add('body') } },
    { priority: 3 },
  );
  const { publish, children, unsupported } = succeed({ callbacks: [withOptions(sig, { link: add('then'), queue: 'q' })], chain: null });
  t.strictSame(unsupported, []);
  const [first, ...others] = publish;
  const groupId = first?.group;
  t.match(
    publish,
    [1, 2, 3].map((value, groupIndex) => ({
      args: [5, value],
      group: groupId,
      groupIndex,
      parentId: 'done',
      rootId: 'root',
      route: { queue: 'q' },
    })),
  );
  t.strictSame(first?.chords, [{ groupId, size: 3, group: null }]);
  t.ok(others.every(({ chords }) => chords === undefined));
  const body = first?.chord as Signature;
  t.match(body, { args: ['body'], options: { link: [add('then')], queue: 'q', parent_id: 'done', root_id: 'root' } });
  t.type(body.options.task_id, 'string', 'every part names the same body');
  t.ok(publish.every((task) => (task.chord as Signature).options.task_id === body.options.task_id));
  t.notOk(
    publish.some(({ callbacks }) => callbacks !== undefined),
    "links are the body's",
  );
  t.strictSame(children, [[[groupId, null], publish.map(({ id }) => [[id, null], null])]]);
});

t.test('a body with a place for the size of its chord gets it: workers before Celery 5.1 count by it', async (t) => {
  const sizes = (body: Signature): unknown[] =>
    succeed({ chain: [{ ...chord, kwargs: { kwargs: {}, header: [add(1), group(add(2), add(3))], body } }] }).publish.map((task) => {
      const { chord_size } = task.chord as Signature;
      return chord_size;
    });
  t.strictSame(sizes({ ...add('body'), chord_size: null }), [3, 3, 3]);
  t.strictSame(sizes(add('body')), [undefined, undefined, undefined], 'no place, no size: as 5.2 sends it');
});

t.test('what comes after a chord in a chain goes with its body', async (t) => {
  const [last, frozen] = [
    withOptions(add('last'), { task_id: 'last' }),
    withOptions(
      {
        ...chord,
        kwargs: { kwargs: {}, header: compound('group', [add(1)], { task_id: 'gid' }), body: withOptions(add(), { task_id: 'b' }) },
      },
      {
        task_id: 'gid',
      },
    ),
  ];
  const { publish } = succeed({ chain: [last, frozen] });
  t.match(publish, [{ group: 'gid', groupIndex: 0, chain: undefined, chord: { options: { task_id: 'b', chain: [last] } } }]);
});

t.test('a group with a step after it is a chord', async (t) => {
  const { publish } = succeed({ callbacks: [chain(group(add(1), add(2)), add(3), add(4))] });
  t.equal(publish.length, 2);
  t.match(publish[0]?.chord, { args: [3], options: { chain: [{ args: [4] }] } });
  t.strictSame(
    publish[0]?.chords?.map(({ size }) => size),
    [2],
  );
});

t.test('a chord without a header: the body, with nothing', async (t) => {
  const empty = { ...chord, kwargs: { kwargs: {}, header: [group()], body: add('body') } };
  const { publish } = succeed({ callbacks: [empty] });
  t.match(publish, [{ args: [[], 'body'], parentId: 'done' }]);
  t.equal(publish[0]?.chords, undefined);
});

t.test('chords in chords: the inner body is the part, and counts as such', async (t) => {
  const inner = { ...chord, kwargs: { kwargs: {}, header: [add('a'), add('b')], body: add('inner') } };
  const outer = {
    ...chord,
    kwargs: { kwargs: {}, header: [add('c'), inner, chain(add('d'), group(add('e'), add('f')))], body: add('outer') },
  };
  const { publish } = succeed({ callbacks: [outer] });
  t.strictSame(
    publish.map(({ args }) => args[1]),
    ['c', 'a', 'b', 'd'],
  );
  const [c, a, , d] = publish;
  t.match(c?.chords, [{ groupId: c?.group, size: 4 }], '1, the inner body, and a group of 2');
  t.match(a?.chords, [{ groupId: a?.group, size: 2, group: null }]);
  const innerBody = a?.chord as Signature;
  t.match(innerBody, { args: ['inner'], options: { group_id: c?.group, group_index: 1, chord: { args: ['outer'] } } });
  t.notOk(d?.group, 'of a chain the end is the part');
  const end = d?.chain?.[0] as Signature;
  t.match(end.options, { task_id: c?.group, group_id: c?.group, chord: { args: ['outer'] } });
  const members = end.kwargs.tasks as Signature[];
  t.strictSame(c?.chords?.[0]?.group?.[1], [
    [[c?.id, null], null],
    [
      [
        innerBody.options.task_id,
        [
          [a?.group, null],
          [
            [[a?.id, null], null],
            [[publish[2]?.id, null], null],
          ],
        ],
      ],
      null,
    ],
    [[end.options.task_id, [[d?.id, null], null]], members.map((member) => [[member.options.task_id, null], null])],
  ]);
  // The worker that has run d sends the members: as parts of the outer chord, whose size it leaves alone.
  const next = succeed({ chain: [...(d?.chain ?? [])] });
  t.match(next.publish, [
    { args: [5, 'e'], group: c?.group, chord: { args: ['outer'] }, chords: undefined },
    { args: [5, 'f'], group: c?.group, chord: { args: ['outer'] } },
  ]);
});

t.test('a bad chord is not half sent', async (t) => {
  const bad = { ...chord, kwargs: { kwargs: {}, header: [add(1), { task: 5 }], body: add() } };
  const none = { ...chord, kwargs: { kwargs: {}, header: [add(1)] } };
  for (const sig of [bad, none]) {
    const { publish, unsupported } = succeed({ callbacks: [sig] });
    t.strictSame(publish, []);
    t.match(unsupported, [/^callbacks\[0\] was not applied: /]);
  }
});

t.test('the end of a part: the body applied to a token, by the part that completes the chord', async (t) => {
  const part = { ...finished, group: 'g', groupIndex: 2 };
  const { chords, publish } = succeed({ chord: withOptions(add('body'), { task_id: 'b', link_error: add('err') }) }, 5, part);
  t.strictSame(publish, []);
  t.match(chords, [
    {
      taskId: 'done',
      groupId: 'g',
      groupIndex: 2,
      chordSize: null,
      body: [{ id: 'b', args: [resultsToken, 'body'], parentId: 'done', rootId: 'root', errbacks: [add('err')] }],
      bodyError: null,
      errbacks: [{ args: ['b', 'err'], parentId: 'b', rootId: 'b' }],
      failed: [{ taskId: 'b', groupId: null }],
      outer: [],
    },
  ]);
  const applied = succeed({ chord: withOptions(add(), { task_id: 'b', parent_id: 'p', root_id: 'r' }) }, 5, part).chords[0];
  t.match(applied?.body, [{ parentId: 'p', rootId: 'r' }], 'a chord that a task has applied belongs to that task');
  t.strictSame(succeed({ chord: add() }).chords, [], 'in no group: nobody is told');
});

t.test('bodies that are chains, groups and chords: who fails with them', async (t) => {
  const part = { ...finished, group: 'g' };
  const named = (id: string, more = {}) => withOptions(add(), { task_id: id, ...more });
  const failedBy = (body: Signature) => fail({ chord: body }, part).chords[0]?.failed.map(({ taskId }) => taskId);
  t.strictSame(failedBy(chain(named('x'), named('y'))), ['x', 'y']);
  t.strictSame(failedBy(compound('group', [named('x'), named('y')], { task_id: 'gid' })), ['x', 'y']);
  t.strictSame(failedBy({ ...chord, kwargs: { header: [add()], body: named('x') } }), ['x']);
  const outer = compound('chain', [named('x'), named('y')], { chord: named('z'), group_id: 'outer', group_index: 7 });
  const [end] = fail({ chord: outer }, part).chords;
  t.match(end?.outer, [{ taskId: 'y', groupId: 'outer', groupIndex: 7, failed: [{ taskId: 'z' }] }]);
});

t.test('a body that cannot be read or applied is said with the part', async (t) => {
  const part = { ...finished, group: 'g' };
  t.match(succeed({ chord: { task: 5 } }, 5, part).chords, [{ bodyError: /task must be/, body: [], failed: [] }]);
  t.match(succeed({ chord: withOptions(add(), { task_id: 'b', time_limit: 'x' }) }, 5, part).chords, [
    { bodyError: /time_limit must be a number/, body: [], failed: [{ taskId: 'b' }] },
  ]);
});

t.test('a bad signature does not keep the others back', async (t) => {
  const { publish, unsupported } = succeed({
    callbacks: [add(1), { task: 5 }, withOptions(add(2), { time_limit: 'x' }), chain(), { ...add(), subtask_type: 'odd' }, add(3)],
  });
  t.strictSame(
    publish.map((task) => task.args[1]),
    [1, 3],
  );
  t.equal(unsupported.length, 4);
  t.match(
    unsupported.join('\n'),
    /callbacks\[1\].*task must be(.|\n)*time_limit must be a number(.|\n)*at least one task(.|\n)*subtask_type must be/,
  );
});

t.test('options find their places', async (t) => {
  const options = {
    queue: 'q',
    exchange: 'x',
    exchange_type: 'topic',
    routing_key: 'k',
    mandatory: true,
    retry: false,
    retry_policy: { max_retries: 1, interval_step: 0.5, interval_max: null, errback: 'x' },
    priority: 7,
    countdown: 2.5,
    expires: 60,
    time_limit: 30,
    soft_time_limit: 20,
    headers: { h: 1 },
    shadow: 's',
    ignore_result: true,
    compression: 'zlib',
    delivery_mode: 1,
    retries: 2,
    message_id: 'm',
    link: [add()],
    link_error: add(),
    eta: null,
  };
  const [task] = succeed({ callbacks: [withOptions(add(), options)] }).publish;
  t.strictSame(task?.route, {
    queue: 'q',
    exchange: 'x',
    exchangeType: 'topic',
    routingKey: 'k',
    priority: 7,
    mandatory: true,
    retry: false,
    retryPolicy: { maxRetries: 1, intervalStep: 0.5 },
    deliveryMode: 1,
  });
  t.match(task, {
    priority: 7,
    etaMs: nowMs + 2500,
    expiresMs: nowMs + 60_000,
    hardTimeLimitSeconds: 30,
    softTimeLimitSeconds: 20,
    headers: { h: 1 },
    shadow: 's',
    ignoreResult: true,
    compression: 'zlib',
    deliveryMode: 1,
    retries: 2,
    extraProperties: { message_id: 'm' },
    callbacks: [add()],
    errbacks: [add()],
  });
  const dated = succeed({ callbacks: [withOptions(add(), { eta: '2030-01-02T00:00:01Z', expires: '2030-01-02T00:00:02Z' })] }).publish[0];
  t.match(dated, { etaMs: nowMs + 1000, expiresMs: nowMs + 2000 });
});

t.test('priority is inherited when the task says so', async (t) => {
  const sigs = { callbacks: [withOptions(add(), { priority: 1 })] };
  t.equal(succeed(sigs).publish[0]?.priority, 1);
  t.equal(succeed(sigs, 5, { ...finished, priority: 9 }).publish[0]?.priority, 9);
});

t.test('stamps are inherited beside own ones', async (t) => {
  const stamped = { ...finished, stampedHeaders: ['a', 'b'], stamps: { a: 1, b: 2 } };
  const [task] = succeed({ callbacks: [withOptions(add(), { stamped_headers: ['b', 'c'], b: 3, c: [4] })] }, 5, stamped).publish;
  t.match(task, { stampedHeaders: ['a', 'b', 'c'], stamps: { a: 1, b: 3, c: [4] } });
  t.notOk(task?.extraProperties);
});

t.test('failure: error callbacks in the old style, later steps named', async (t) => {
  const { publish, failedSteps, unsupported, chords } = fail({
    errbacks: [signature('proj.on_err'), withOptions(signature('proj.log', ['x']), { queue: 'q' })],
    chain: [withOptions(add(), { task_id: 'c', group_id: 'g', chord: add() }), withOptions(add(), { task_id: 'b' }), add()],
  });
  t.match(publish, [
    { task: 'proj.on_err', args: ['done'], group: 'new-2', groupIndex: 0, parentId: 'done', rootId: 'root' },
    { task: 'proj.log', args: ['done', 'x'], group: 'new-2', groupIndex: 1, route: { queue: 'q' } },
  ]);
  t.strictSame(failedSteps, [
    { taskId: 'c', groupId: 'g' },
    { taskId: 'b', groupId: null },
  ]);
  t.strictSame(unsupported, []);
  t.match(chords, [{ taskId: 'c', groupId: 'g', groupIndex: null, body: [{ parentId: 'done' }] }]);
});

t.test('what a Python worker published, we publish', async (t) => {
  const vectors = loadVectors(t, 'tasks-amqp.json') as TaskVector<AmqpMessage>[] | null;
  if (vectors === null) return;
  const messageNamed = (name: string) => messageOfAmqp(vectors.find((vector) => vector.name === name)?.message as AmqpMessage);
  /** The second task of a chain, as published by the worker that ran the first, gives the third. */
  const second = messageNamed('worker-chain-second');
  const third = messageNamed('worker-chain-third');
  const receipt = readReceipt(second);
  if (receipt.kind !== 'task') throw new Error('worker-chain-second must be a task');
  const { id, rootId, group } = receipt.header;
  const { publish } = followUpsOfSuccess({ ...finished, id, rootId, group }, readContent(second, 2), 9);
  t.equal(publish.length, 1);
  const ours = encodeTask(publish[0] as (typeof publish)[0]);
  t.strictSame(readContent(ours, 2), readContent(third, 2), 'the same body');
  const { lang, origin, ignore_result, ...expected } = third.headers ?? {};
  t.match(ours.headers, expected, 'the same headers');
  t.equal(ours.properties.replyTo, third.properties.replyTo);
});

t.test('an error callback that takes the error is called with what is known of it, the others with the id', async (t) => {
  const newStyle = signature('proj.on_error', ['more'], { level: 2 }, { queue: 'q' });
  const workflow = { ...chain(add()), task: 'proj.on_error' };
  const errbacks = [add('first'), newStyle, { ...newStyle, immutable: true }, workflow, 7];
  const call = { takesError: (name: string) => name === 'proj.on_error', args: () => [{ id: 'done' }, 'exc', 'tb'] };
  const { publish, unsupported } = followUpsOfFailure(finished, { ...nothing, errbacks }, sources(), call);
  t.match(publish, [
    {
      task: 'proj.on_error',
      args: [{ id: 'done' }, 'exc', 'tb', 'more'],
      kwargs: { level: 2 },
      route: { queue: 'q' },
      parentId: 'done',
      rootId: 'root',
      group: undefined,
    },
    { task: 'proj.on_error', args: ['more'] },
    { task: 'proj.add', args: ['done', 'first'], parentId: 'done', group: String },
    { task: 'proj.add', args: ['done'] },
  ]);
  t.equal(publish.length, 4);
  t.match(unsupported, [/^errbacks\[2\]/]);
  const never = { ...call, args: () => t.fail('nobody takes it') };
  t.equal(followUpsOfFailure(finished, { ...nothing, errbacks: [add()] }, sources(), never as never).publish.length, 1);
});
