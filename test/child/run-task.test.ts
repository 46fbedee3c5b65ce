/** One task in a child, from the bytes of its message to how it ended. Pure: no pipe, no process. */
import t from 'tap';
import { isPrepared, prepare, run, type TaskEnd } from '../../src/child/run-task.ts';
import type { ChildSettings, EndedMeta, RunMeta } from '../../src/ipc/exchange.ts';
import type { Message } from '../../src/protocol/message.ts';
import { RemoteTaskError } from '../../src/protocol/remote-error.ts';
import { encodeTask, type OutgoingTask, readContent } from '../../src/protocol/task-message.ts';
import { Ignore, MaxRetriesExceededError, Reject } from '../../src/task/control-flow.ts';
import { defineTask, type TaskFunction, TaskRegistry } from '../../src/task/registry.ts';
import { currentTask, type TaskContext } from '../../src/task/task-context.ts';
import { resolveTaskOptions, type TaskOptions } from '../../src/task/task-options.ts';
import { childSettings } from '../pool/pool-bench.ts';
import { FakeHost } from '../task/fake-request.ts';

const settings = childSettings(1, 1, []);

function registryWith(fn: TaskFunction, options: TaskOptions): TaskRegistry {
  const registry = new TaskRegistry();
  const name = 'tasks.it';
  registry.add(defineTask({ name, fn, options: resolveTaskOptions(options, name), file: 'tasks.ts', sources: () => [] }));
  return registry;
}

const deliveryInfo = { exchange: '', routing_key: 'celery', priority: 3, redelivered: true };

function metaOf(message: Message): RunMeta {
  return { headers: message.headers, properties: message.properties, deliveryInfo };
}

interface Given {
  readonly options?: TaskOptions;
  readonly message?: Partial<OutgoingTask>;
  readonly settings?: Partial<ChildSettings>;
  readonly host?: FakeHost;
}

/** A promise only when the task returned one. */
function start(fn: TaskFunction, given: Given = {}): TaskEnd | Promise<TaskEnd> {
  const message = encodeTask({ task: 'tasks.it', id: 'id-1', args: [], kwargs: {}, origin: 'gen1@test', ...given.message });
  const prepared = prepare(metaOf(message), message.body, registryWith(fn, given.options ?? {}));
  if (!isPrepared(prepared)) throw new Error(`it must be prepared, got ${prepared.kind}`);
  return run(prepared, { ...settings, ...given.settings }, given.host ?? new FakeHost());
}

/** Run a bound task. */
function startBound<Args extends unknown[]>(
  fn: (context: TaskContext, ...args: Args) => unknown,
  given: Given = {},
): TaskEnd | Promise<TaskEnd> {
  return start(fn as TaskFunction, { ...given, options: { ...given.options, bind: true } });
}

const callback = (task: string, more: object = {}): object => ({
  task,
  args: [],
  kwargs: {},
  options: {},
  subtask_type: null,
  immutable: false,
  ...more,
});

// ---------------------------------------------------------------- prepare

t.test('prepare: what cannot be run', (t) => {
  const registry = registryWith(() => {}, {});
  const properties = { contentType: 'application/json', contentEncoding: 'utf-8' };
  const headers = { task: 'tasks.it', id: 'x' };
  const rows: readonly (readonly [string, Partial<Message>, string, RegExp])[] = [
    ['no JSON', { body: Buffer.from('[[') }, 'undecodable', /JSON/],
    ['no UTF-8', { body: Buffer.from([0x5b, 0xff, 0xfe, 0x5d]) }, 'undecodable', /./],
    ['broken compression', { headers: { ...headers, compression: 'application/x-gzip' } }, 'undecodable', /./],
    ['a compression nobody knows', { headers: { ...headers, compression: 'x-what' } }, 'undecodable', /x-what/],
    ['two elements', { body: Buffer.from('[[], {}]') }, 'invalid', /must have 3 elements .* got 2/],
    ['args that are no list', { body: Buffer.from('[{}, {}, {}]') }, 'invalid', /arguments must be a list/],
    ['kwargs that are no object', { body: Buffer.from('[[], [], {}]') }, 'invalid', /must be a mapping/],
    ['embed that is no object', { body: Buffer.from('[[], {}, []]') }, 'invalid', /embed must be an object/],
    ['a task the modules do not have', { headers: { ...headers, task: 'tasks.other' } }, 'invalid', /no task 'tasks\.other'/],
    ['expired while it waited', { headers: { ...headers, expires: '2020-01-01T00:00:00+00:00' } }, 'expired', /./],
  ];
  for (const [title, message, kind, text] of rows) {
    const { body, headers: own, properties: sent } = { headers, properties, body: Buffer.from('[[], {}, {}]'), ...message };
    const end = prepare({ headers: own, properties: sent, deliveryInfo }, body, registry);
    if (isPrepared(end)) return t.fail(`${title} must not be prepared`);
    t.match(end, { kind: 'ended', resultJson: 'null', followUps: [], meta: { kind, text } }, title);
  }
  return t.end();
});

t.test('prepare: both protocols, compressed or not', (t) => {
  const registry = registryWith(() => {}, {});
  for (const more of [{}, { protocol: 1 as const }, { compression: 'gzip' }, { protocol: 1 as const, compression: 'zlib' }]) {
    const message = encodeTask({ task: 'tasks.it', id: 'id-1', args: [1, 'ä'], kwargs: { k: 2 }, origin: 'o', ...more });
    const prepared = prepare(metaOf(message), message.body, registry);
    t.match(prepared, { header: { id: 'id-1' }, content: { args: [1, 'ä'], kwargs: { k: 2 } } }, JSON.stringify(more));
  }
  t.end();
});

// ---------------------------------------------------------------- success

t.test('a function that returns no promise is run without one', async (t) => {
  t.same(
    start((x: number) => x + 1, { message: { args: [2] } }),
    { kind: 'succeeded', resultJson: '3', meta: null, followUps: [] },
  );
  t.ok(start(async () => 1) instanceof Promise);
  t.match(await start(async () => 1), { kind: 'succeeded', resultJson: '1' });
  // biome-ignore lint/suspicious/noThenProperty: this is the point.
  const thenable = { then: (resolve: (value: string) => void) => resolve('from a thenable') };
  t.match(await start(() => thenable), { resultJson: '"from a thenable"' });
  t.match(
    start(() => undefined),
    { resultJson: 'null' },
  );
});

t.test('the text of a result, the arguments: only when somebody wants them', (t) => {
  const message = { args: [1], kwargs: { y: 2 } };
  const fn = (x: number, y: number): string => `${x}${y}`;
  t.match(start(fn, { message, settings: { wantResultText: true } }), { meta: { text: "'12'" } });
  t.match(start(fn, { message, settings: { wantArguments: true } }), { meta: { args: '[1]', kwargs: '{"y":2}' } });
  t.end();
});

t.test('the context', async (t) => {
  const host = new FakeHost();
  let seen: TaskContext | undefined;
  const end = await startBound(
    async (context, x: number) => {
      seen = context;
      await null;
      context.log.info('at %d', x);
      await context.updateState({ state: 'HALF', meta: { x } });
      return currentTask() === context;
    },
    {
      host,
      message: {
        args: [5],
        retries: 1,
        parentId: 'p',
        rootId: 'r',
        group: 'g',
        groupIndex: 2,
        replyTo: 'q',
        headers: { mine: 1 },
        shadow: 's',
      },
    },
  );
  t.match(end, { resultJson: 'true' });
  t.match(host.lines, [['info', 'at 5']]);
  t.match(host.states, [['HALF', { x: 5 }]]);
  t.equal(seen?.signal, host.signal);
  const { id, name, args, retries, parentId, rootId, group, groupIndex, replyTo, shadow, hostname, correlationId, origin } = seen!;
  t.match(
    { id, name, args, retries, parentId, rootId, group, groupIndex, replyTo, shadow, hostname, correlationId, origin },
    {
      id: 'id-1',
      name: 'tasks.it',
      args: [5],
      retries: 1,
      parentId: 'p',
      rootId: 'r',
      group: 'g',
      groupIndex: 2,
      replyTo: 'q',
      shadow: 's',
      hostname: 'bench@localhost',
      correlationId: 'id-1',
      origin: 'gen1@test',
    },
  );
  t.same(seen?.headers, { mine: 1 }, "the protocol's own headers are not the caller's");
  t.match(seen?.deliveryInfo, { exchange: '', routingKey: 'celery', priority: 3, redelivered: true });
  t.equal(currentTask(), undefined, 'outside there is none');
});

t.test('a callback and the next step of a chain get the result', (t) => {
  const message = {
    callbacks: [callback('tasks.cb')],
    chain: [callback('tasks.last'), callback('tasks.next', { args: [9] })],
    rootId: 'r',
  };
  const end = start(() => 7, { message }) as TaskEnd;
  t.match(end.kind, 'succeeded');
  t.equal(end.followUps.length, 2);
  const [first, second] = end.followUps;
  t.match(first?.meta, { taskName: 'tasks.cb', headers: { parent_id: 'id-1', root_id: 'r' } });
  t.same(readContent({ ...first!.meta, body: first!.body }, 2).args, [7]);
  t.match(second?.meta, { taskName: 'tasks.next' });
  const content = readContent({ ...second!.meta, body: second!.body }, 2);
  t.same(content.args, [7, 9]);
  t.match(content.chain, [{ task: 'tasks.last' }], 'the rest of the chain goes along');
  t.match(
    JSON.parse(end.meta?.children ?? 'null'),
    [
      [[String], null],
      [[String], null],
    ],
    'they are its children',
  );
  t.end();
});

t.test('a part of a chord: the body goes along, for whoever finds that it is the last', (t) => {
  const chord = { ...callback('tasks.body'), options: { task_id: 'body', compression: 'zlib', link_error: [callback('tasks.oops')] } };
  for (const fn of [
    () => 7,
    () => {
      throw new Error('x');
    },
  ]) {
    const end = start(fn, { message: { chord, group: 'g', groupIndex: 3 } }) as TaskEnd;
    t.equal(end.meta?.unsupported, undefined);
    const [part] = end.meta?.chordParts ?? [];
    t.match(part, { part: 1, taskId: 'id-1', groupId: 'g', groupIndex: 3, bodyError: null, failed: [{ taskId: 'body' }] });
    t.match(
      end.followUps.map(({ meta }) => ({ task: meta.taskName, chord: meta.chord })),
      [
        { task: 'tasks.body', chord: { part: 1, on: 'complete', compression: 'zlib' } },
        { task: 'tasks.oops', chord: { part: 1, on: 'failed' } },
      ],
    );
    t.match(end.followUps[0]?.body.toString(), `[["${part?.resultsToken}"]`, 'not compressed before the results are in it');
  }
  t.end();
});

t.test('a body that cannot be encoded does not hide the result', (t) => {
  const chord = { ...callback('tasks.body'), options: { task_id: 'body', serializer: 'pickle' } };
  const end = start(() => 7, { message: { chord, group: 'g' } }) as TaskEnd;
  t.match(end, { kind: 'succeeded', resultJson: '7', followUps: [], meta: { chordParts: [{ bodyError: /pickle/ }] } });
  t.end();
});

// ---------------------------------------------------------------- failure

const failureOf = (end: TaskEnd | Promise<TaskEnd>): EndedMeta => {
  if (end instanceof Promise || end.kind !== 'ended') throw new Error('it must have failed at once');
  return end.meta;
};

t.test('what is thrown', async (t) => {
  class PaymentError extends Error {
    override readonly name = 'PaymentError';
  }
  const rows: readonly (readonly [unknown, object, string])[] = [
    [new Error('x'), { exc_type: 'Error', exc_message: ['x'] }, "Error('x')"],
    [new TypeError('x'), { exc_type: 'TypeError', exc_message: ['x'], exc_module: 'builtins' }, "TypeError('x')"],
    [new PaymentError('no money'), { exc_type: 'PaymentError', exc_message: ['no money'] }, "PaymentError('no money')"],
    ['text', { exc_type: 'Error', exc_message: ['text'] }, "'text'"],
    [undefined, { exc_type: 'Error' }, 'None'],
    [{ code: 5 }, { exc_type: 'Error' }, "{'code': 5}"],
  ];
  for (const [thrown, document, text] of rows) {
    const sync = start(() => {
      throw thrown;
    }) as TaskEnd;
    const late = await start(async () => {
      throw thrown;
    });
    for (const end of [sync, late]) {
      t.match(end, { kind: 'ended', meta: { kind: 'failed', text, traceback: String } }, text);
      t.match(JSON.parse(end.resultJson), document);
    }
  }
});

t.test('an error nobody can read does no harm', async (t) => {
  const hostile = new Proxy(new Error('x'), {
    get: (target, key) => {
      if (key === 'message' || key === 'stack') throw new Error('do not look');
      return Reflect.get(target, key);
    },
  });
  const ends = [
    start(() => {
      throw hostile;
    }),
    await start(async () => {
      throw hostile;
    }),
    // The same in a result, which is looked at when it is encoded and when its text is made.
    start(() => ({
      toJSON: () => {
        throw hostile;
      },
    })),
    await start(async () => ({
      toJSON: () => {
        throw hostile;
      },
    })),
  ];
  for (const end of ends) t.match(end, { kind: 'ended', meta: { kind: 'failed', text: /cannot be read|do not look/ } });
  t.match(
    start(
      () =>
        new Proxy(
          { a: 1 },
          {
            ownKeys: () => {
              throw new Error('no');
            },
          },
        ),
      { settings: { wantResultText: true } },
    ),
    { meta: { kind: 'failed' } },
  );
});

t.test('arguments that do not fit', (t) => {
  const add = (x: number, y: number): number => x + y;
  t.match(failureOf(start(add, { message: { args: [1] } })), { kind: 'failed', text: /missing 1 required positional argument/ });
  t.match(failureOf(start(add, { message: { args: [1, 2, 3] } })), { text: /takes 2 positional arguments but 3 were given/ });
  t.match(failureOf(start(add, { message: { args: [1], kwargs: { z: 3 } } })), { text: /unexpected keyword argument/ });
  t.match(start(add, { message: { args: [1, 2, 3] }, options: { typing: false } }), { kind: 'succeeded', resultJson: '3' });
  t.end();
});

t.test('a result that cannot be encoded is a failure', (t) => {
  const circular: { self?: unknown } = {};
  circular.self = circular;
  for (const value of [circular, () => {}, Symbol('x')]) {
    const end = start(() => value) as TaskEnd;
    t.match(end, { kind: 'ended', meta: { kind: 'failed', text: /^EncodeError\(/ } });
    t.match(JSON.parse(end.resultJson), { exc_type: 'EncodeError', exc_module: 'kombu.exceptions' });
  }
  t.end();
});

t.test('expected errors', (t) => {
  const fail = (): never => {
    throw new RangeError('x');
  };
  t.equal(failureOf(start(fail, { options: { throws: [RangeError] } })).expected, true);
  t.equal(failureOf(start(fail, { options: { throws: ['RangeError'] } })).expected, true);
  t.equal(failureOf(start(fail, { options: { throws: [TypeError] } })).expected, undefined);
  t.end();
});

t.test('error callbacks are told, later steps fail with it', (t) => {
  const message = {
    errbacks: [callback('tasks.oops')],
    chain: [callback('tasks.last', { options: { task_id: 'l' } }), callback('tasks.next', { options: { task_id: 'n', group_id: 'g' } })],
  };
  const end = start(
    () => {
      throw new Error('x');
    },
    { message },
  ) as TaskEnd;
  t.equal(end.followUps.length, 1);
  t.match(end.followUps[0]?.meta, { taskName: 'tasks.oops', headers: { parent_id: 'id-1' } });
  t.same(readContent({ ...end.followUps[0]!.meta, body: end.followUps[0]!.body }, 2).args, ['id-1'], 'the id of the task that failed');
  t.same(failureOf(end).failedSteps, [
    { taskId: 'l', groupId: null },
    { taskId: 'n', groupId: 'g' },
  ]);
  t.end();
});

t.test('an error callback that cannot be read does not hide the failure', (t) => {
  const end = start(
    () => {
      throw new Error('the failure');
    },
    { message: { errbacks: ['nonsense'] } },
  );
  t.match(failureOf(end), { kind: 'failed', text: "Error('the failure')" });
  t.end();
});

// ---------------------------------------------------------------- control flow

t.test('Ignore and Reject', (t) => {
  const throwing =
    (thrown: unknown): TaskFunction =>
    () => {
      throw thrown;
    };
  t.match(failureOf(start(throwing(new Ignore()))), { kind: 'ignored' });
  t.match(failureOf(start(throwing(new Reject('why', { requeue: true })))), { kind: 'rejected', requeue: true, text: /why/ });
  t.match(failureOf(start(throwing(new Reject()))), { kind: 'rejected', requeue: false });
  t.end();
});

t.test('retry: the same id, one try more, everything else as it was', (t) => {
  const message = {
    args: [1],
    kwargs: { k: 2 },
    retries: 1,
    rootId: 'r',
    parentId: 'p',
    group: 'g',
    shadow: 's',
    replyTo: 'q',
    priority: 3,
    hardTimeLimitSeconds: 30,
    headers: { mine: 'yes' },
    callbacks: [callback('tasks.cb')],
    errbacks: [callback('tasks.oops')],
    chain: [callback('tasks.next')],
    stampedHeaders: ['st'],
    stamps: { st: ['x'] },
    expiresMs: Date.now() + 3_600_000,
  };
  const cause = new TypeError('not now');
  const end = startBound((context, _x: number, k: number) => context.retry({ exc: cause, countdown: 15 * k }), { message }) as TaskEnd;
  t.match(end, { kind: 'ended', meta: { kind: 'retried', text: /^Retry in 30s/, traceback: /TypeError: not now/ } });
  t.match(JSON.parse(end.resultJson), { exc_type: 'TypeError' });
  const [next] = end.followUps;
  t.match(next?.meta, {
    taskId: 'id-1',
    route: { queue: 'celery', exchange: '', routingKey: 'celery', priority: 3 },
    headers: {
      id: 'id-1',
      retries: 2,
      root_id: 'r',
      parent_id: 'id-1',
      group: 'g',
      shadow: 's',
      timelimit: [30, null],
      mine: 'yes',
      stamped_headers: ['st'],
      st: undefined,
      stamps: { st: ['x'] },
    },
    properties: { priority: 3, replyTo: 'q', correlationId: 'id-1' },
  });
  t.ok(Math.abs((next?.meta.dueAtMs ?? 0) - Date.now() - 30_000) < 5000);
  t.equal(Date.parse(String(next?.meta.headers?.eta)), Math.floor(next!.meta.dueAtMs!), 'the header says when, too');
  t.match(readContent({ ...next!.meta, body: next!.body }, 2), {
    args: [1],
    kwargs: { k: 2 },
    callbacks: [{ task: 'tasks.cb' }],
    errbacks: [{ task: 'tasks.oops' }],
    chain: [{ task: 'tasks.next' }],
  });
  t.end();
});

t.test('retry with other arguments, without a cause, until there are no more tries', (t) => {
  const again = (context: TaskContext): never => context.retry({ args: [2], kwargs: { other: true } });
  const end = startBound(again) as TaskEnd;
  t.match(end, { resultJson: 'null', meta: { kind: 'retried', traceback: null } });
  t.match(readContent({ ...end.followUps[0]!.meta, body: end.followUps[0]!.body }, 2), { args: [2], kwargs: { other: true } });
  const over = startBound(again, { message: { retries: 3 } }) as TaskEnd;
  t.match(over, { meta: { kind: 'failed' }, followUps: [] });
  t.match(JSON.parse(over.resultJson), { exc_type: new MaxRetriesExceededError('x', 'y', [], {}).name });
  const unencodable = startBound((context: TaskContext) => context.retry({ args: [() => {}] })) as TaskEnd;
  t.match(unencodable, { meta: { kind: 'failed' }, followUps: [] }, 'a retry that cannot be sent is a failure, not a loss');
  t.end();
});

t.test('a retry of protocol 1 stays what the settings say, a chain stays protocol 2', (t) => {
  const again = (context: TaskContext): never => context.retry({ countdown: 1 });
  const first = startBound(again, { message: { protocol: 1 }, settings: { taskProtocol: 1 } }) as TaskEnd;
  t.notOk('task' in (first.followUps[0]?.meta.headers ?? {}));
  const chained = startBound(again, { message: { chain: [callback('tasks.next')] }, settings: { taskProtocol: 1 } }) as TaskEnd;
  t.match(chained.followUps[0]?.meta.headers, { task: 'tasks.it', retries: 1 });
  t.end();
});

t.test('an error callback of this child that takes the error is told of it', async (t) => {
  const registry = registryWith((() => 1) as TaskFunction, { errbackStyle: 'new' });
  const fails = (x: number): never => {
    throw new RangeError(`no ${x}`);
  };
  registry.add(
    defineTask({ name: 'tasks.fails', fn: fails as TaskFunction, options: resolveTaskOptions({}, 'x'), file: 'x', sources: () => [] }),
  );
  const errbacks = [callback('tasks.it'), callback('tasks.unknown')];
  const sent = encodeTask({ task: 'tasks.fails', id: 'id-2', args: [5], kwargs: {}, origin: 'gen1@test', retries: 2, errbacks });
  const prepared = prepare(metaOf(sent), sent.body, registry);
  if (!isPrepared(prepared)) throw new Error(prepared.kind);
  const end = (await run(prepared, settings, new FakeHost())) as TaskEnd;
  const [told, unknown] = end.followUps;
  t.match(told?.meta, { taskName: 'tasks.it', headers: { parent_id: 'id-2', group: null } });
  const { args } = readContent({ ...told!.meta, body: told!.body }, 2);
  t.match(args, [
    { id: 'id-2', name: 'tasks.fails', args: [5], kwargs: {}, retries: 2, hostname: 'bench@localhost', origin: 'gen1@test' },
    { exc_type: 'ValueError', exc_message: ['no 5'] },
    /RangeError: no 5/,
  ]);
  t.match(unknown?.meta, { taskName: 'tasks.unknown', headers: { group: String } });
  t.strictSame(readContent({ ...unknown!.meta, body: unknown!.body }, 2).args, ['id-2'], 'who is not known is called in the old style');

  const seen: unknown[][] = [];
  const listen = (...given: unknown[]): number => seen.push(given);
  await start(listen as TaskFunction, { options: { errbackStyle: 'new' }, message: { args: [...args, 'more'] } });
  t.match(seen[0], [{ id: 'id-2', args: [5] }, { name: 'ValueError', message: 'no 5', taskId: 'id-2' }, /RangeError: no 5/, 'more']);
  t.ok(seen[0]?.[1] instanceof RemoteTaskError);
  await start(listen as TaskFunction, { options: { errbackStyle: 'new' }, message: { args: ['id-3', 'more'] } });
  t.strictSame(seen[1], [{ id: 'id-3' }, null, null, 'more'], 'called by who does not know it');
  await start(listen as TaskFunction, { message: { args: ['id-3'] } });
  t.strictSame(seen[2], ['id-3'], 'the old style is left alone');
});
