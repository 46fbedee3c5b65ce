import t from 'tap';
import type { Message } from '../../src/protocol/message.ts';
import { encodeTask, type OutgoingTask, readContent, readContentText, readReceipt } from '../../src/protocol/task-message.ts';

const properties = { contentType: 'application/json', contentEncoding: 'utf-8' };

function message(headers: Record<string, unknown> | null, body: unknown, more: Partial<Message['properties']> = {}): Message {
  return { properties: { ...properties, ...more }, headers, body: Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body)) };
}

const minimal = { task: 'proj.add', id: 'a1' };
const plain: OutgoingTask = { task: 'proj.add', id: 'a1', args: [2, 3], kwargs: {}, origin: 'gen1@example.com' };

t.test('the smallest message', async (t) => {
  const smallest = message(minimal, [[1], { k: 2 }, {}]);
  t.strictSame(readReceipt(smallest), {
    kind: 'task',
    header: {
      protocol: 2,
      task: 'proj.add',
      id: 'a1',
      retries: 0,
      etaMs: null,
      expiresMs: null,
      group: null,
      groupIndex: null,
      rootId: 'a1',
      parentId: null,
      hardTimeLimitSeconds: null,
      softTimeLimitSeconds: null,
      shadow: null,
      ignoreResult: null,
      origin: null,
      argsrepr: null,
      kwargsrepr: null,
      replacedTaskNesting: 0,
      stampedHeaders: null,
      stamps: {},
    },
  });
  t.strictSame(readContent(smallest, 2), { args: [1], kwargs: { k: 2 }, callbacks: null, errbacks: null, chain: null, chord: null });
  t.strictSame(readContent(message(minimal, [[], {}, null]), 2).args, []);
});

t.test('protocol 2 is received without looking at the body', async (t) => {
  t.equal(readReceipt(message(minimal, Buffer.from('[not json'))).kind, 'task');
  t.equal(readReceipt(message({ ...minimal, compression: 'application/x-bz2' }, Buffer.from([1]))).kind, 'task');
});

t.test('not a task', async (t) => {
  t.strictSame(readReceipt(message(null, { task: 'a', id: 'b' })), { kind: 'unknown' });
  for (const body of [[], 'text', { id: 'x' }, 5, null]) t.strictSame(readReceipt(message({}, body)), { kind: 'unknown' });
  t.match(readReceipt(message({}, Buffer.from('{'))), { kind: 'undecodable', reason: /JSON/ });
  t.match(readReceipt(message({ compression: 'application/x-gzip' }, Buffer.from('x'))), { kind: 'undecodable' });
});

t.test('invalid tasks, with the reason', async (t) => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ task: 'a' }, /task id must be a non-empty string, got None/],
    [{ task: 'a', id: 5 }, /got 5/],
    [{ task: null, id: 'x' }, /task name/],
    [{ ...minimal, eta: 'soon' }, /^invalid ETA value 'soon': unable to parse date string 'soon'$/],
    [{ ...minimal, eta: 5 }, /^invalid ETA value 5: expected/],
    [{ ...minimal, expires: '2030-13-01T00:00:00' }, /^invalid expires value '2030-13-01T00:00:00'/],
    [{ ...minimal, timelimit: 5 }, /timelimit/],
    [{ ...minimal, timelimit: [1, 'x'] }, /timelimit/],
    [{ ...minimal, retries: {} }, /retries/],
  ];
  for (const [headers, reason] of cases) {
    t.match(readReceipt(message(headers, [[], {}, {}])), { kind: 'invalid', reason }, JSON.stringify(headers));
    if ('task' in headers) t.equal(readReceipt(message({}, headers)).kind, 'invalid', 'and in protocol 1');
  }
  t.match(readReceipt(message(minimal, [[], {}, {}], { contentType: '' })), { kind: 'invalid', reason: /content type/ });
  t.match(readReceipt(message({}, { ...minimal, kwargs: [1] })), { kind: 'invalid', reason: 'Task keyword arguments must be a mapping' });
  t.match(readReceipt(message({}, { ...minimal, kwargs: null })), { kind: 'invalid' });
});

t.test('header values', async (t) => {
  const receipt = readReceipt(
    message(
      {
        ...minimal,
        eta: '2030-01-02T03:04:05',
        expires: '2030-01-02T03:04:05.5+05:30',
        timelimit: [300, 250.5],
        retries: '2',
        root_id: null,
        group: 'g',
        group_index: 1,
        ignore_result: false,
        stamps: { a: 1 },
        stamped_headers: ['a'],
      },
      [[], {}, {}],
    ),
  );
  t.match(receipt, {
    header: {
      etaMs: Date.UTC(2030, 0, 2, 3, 4, 5),
      expiresMs: Date.UTC(2030, 0, 1, 21, 34, 5, 500),
      hardTimeLimitSeconds: 300,
      softTimeLimitSeconds: 250.5,
      retries: 2,
      rootId: 'a1',
      group: 'g',
      groupIndex: 1,
      ignoreResult: false,
      stampedHeaders: ['a'],
      stamps: { a: 1 },
    },
  });
});

t.test('protocol 1', async (t) => {
  const old = message({}, { ...minimal, args: [1, 2], kwargs: { k: 'v' }, taskset: 'g1', eta: '2030-07-02T03:04:05', utc: false });
  t.match(readReceipt(old), {
    header: {
      protocol: 1,
      group: 'g1',
      argsrepr: '(1, 2)',
      kwargsrepr: "{'k': 'v'}",
      rootId: 'a1',
      etaMs: new Date(2030, 6, 2, 3, 4, 5).getTime(),
    },
  });
  t.match(readReceipt(message({}, { ...minimal, group: 'g2', taskset: 'g1' })), { header: { group: 'g2' } });
  t.strictSame(readContent(message({}, minimal), 1), { args: [], kwargs: {}, callbacks: null, errbacks: null, chain: null, chord: null });
  t.throws(() => readContent(message({}, { ...minimal, args: 'abc' }), 1), { code: 'MESSAGE_INVALID' });
  t.throws(() => readContent(message({}, [1]), 1), { code: 'MESSAGE_INVALID' });
});

t.test('the hybrid form: protocol-2 headers, protocol-1 body, headers win', async (t) => {
  const hybrid = message(
    { ...minimal, retries: 3 },
    { task: 'other', id: 'z', args: [1], kwargs: {}, retries: 1, eta: '2030-01-02T03:04:05', chord: { task: 'c' }, chain: [1] },
  );
  t.match(readReceipt(hybrid), { header: { protocol: 2, task: 'proj.add', id: 'a1', retries: 3, etaMs: Date.UTC(2030, 0, 2, 3, 4, 5) } });
  t.strictSame(readContent(hybrid, 2), { args: [1], kwargs: {}, callbacks: null, errbacks: null, chain: null, chord: { task: 'c' } });
  t.match(readReceipt(message(minimal, { a: 1 })), { kind: 'invalid' });
  t.match(readReceipt(message(minimal, { args: [], kwargs: 5 })), { kind: 'invalid', reason: /mapping/ });
  t.match(readReceipt(message(minimal, Buffer.from('{"args": '))), { kind: 'undecodable' });
});

t.test('bad bodies', async (t) => {
  const invalid: unknown[] = [
    [[], {}],
    [[], {}, {}, {}],
    'text',
    5,
    null,
    { a: 1 },
    ['x', {}, {}],
    [[], [], {}],
    [[], {}, 5],
    [[], {}, { callbacks: 'x' }],
  ];
  for (const body of invalid) t.throws(() => readContent(message(minimal, body), 2), { code: 'MESSAGE_INVALID' }, JSON.stringify(body));
  t.throws(() => readContent(message(minimal, [[], { length: 1 }]), 2), { message: /3 elements .* got 2/ });
  t.throws(() => readContent(message(minimal, Buffer.from('[')), 2), { code: 'MESSAGE_UNDECODABLE' });
  t.throws(() => readContent(message({ ...minimal, compression: 'application/x-gzip' }, Buffer.from('[')), 2), {
    code: 'MESSAGE_UNDECODABLE',
  });
  t.throws(() => readContent(message(minimal, [[], {}, {}], { contentType: 'application/x-yaml' }), 2), { code: 'NOT_SUPPORTED' });
  t.strictSame(
    readContent(message(minimal, [[], {}, { callbacks: { task: 'one' } }]), 2).callbacks,
    [{ task: 'one' }],
    'one signature counts as a list of it',
  );
});

t.test('writing: names, order and defaults', async (t) => {
  const { headers, properties, body } = encodeTask(plain);
  t.equal(body.toString(), '[[2,3],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]');
  t.strictSame(properties, {
    ...{ contentType: 'application/json', contentEncoding: 'utf-8' },
    correlationId: 'a1',
    replyTo: '',
    deliveryMode: 2,
    priority: 0,
  });
  t.equal(
    JSON.stringify(headers),
    '{"lang":"js","task":"proj.add","id":"a1","shadow":null,"eta":null,"expires":null,"group":null,"group_index":null,"retries":0,"timelimit":[null,null],' +
      '"root_id":"a1","parent_id":null,"argsrepr":"(2, 3)","kwargsrepr":"{}","origin":"gen1@example.com","replaced_task_nesting":0,"stamped_headers":null,"stamps":{}}',
  );
  t.strictSame(encodeTask({ ...plain, etaMs: null, chain: null, compression: null }).headers, headers, 'null means not given');
});

t.test('writing: options', async (t) => {
  const expiresMs = Date.UTC(2030, 0, 2, 3, 4, 5, 678);
  const sent = encodeTask(
    {
      ...plain,
      expiresMs,
      ignoreResult: false,
      headers: { 'x-trace': 'abc', lang: 'mine' },
      priority: 5,
      deliveryMode: 1,
      replyTo: 'r',
      extraProperties: { message_id: 'm' },
      argsrepr: '<hidden>',
      compression: 'zlib',
      chain: [],
    },
    expiresMs - 1500.5,
  );
  t.match(sent.properties, { expiration: '1500', priority: 5, deliveryMode: 1, replyTo: 'r', extra: { message_id: 'm' } });
  t.match(sent.headers, {
    expires: '2030-01-02T03:04:05.678000+00:00',
    ignore_result: false,
    'x-trace': 'abc',
    lang: 'mine',
    argsrepr: '<hidden>',
    compression: 'application/x-gzip',
  });
  t.strictSame(readContent(sent, 2).chain, [], 'an empty chain stays an empty list');
  t.equal(encodeTask({ ...plain, expiresMs }, expiresMs + 1).properties.expiration, '0');
});

t.test('a body that nothing follows is read as any other', async (t) => {
  const end = ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]';
  const outcome = (read: () => unknown): unknown => {
    try {
      return read();
    } catch (error) {
      return String(error);
    }
  };
  const both = (body: string): unknown => {
    const quick = outcome(() => readContentText(body));
    t.strictSame(
      quick,
      outcome(() => readContent(message(minimal, Buffer.from(body)), 2)),
      body.slice(0, 80),
    );
    return quick;
  };
  const nothing = { callbacks: null, errbacks: null, chain: null, chord: null };
  t.strictSame(both(`[[1, 12345678901234567890], {"k": NaN}${end}`), {
    args: [1, 12345678901234567890n],
    kwargs: { k: Number.NaN },
    ...nothing,
  });
  t.strictSame(both(`[[{"__type__": "uuid", "__value__": {"hex": "${'ab'.repeat(16)}"}}], {} ${end}`), {
    args: [`abababab${'-abab'.repeat(3)}-${'ab'.repeat(6)}`],
    kwargs: {},
    ...nothing,
  });
  t.strictSame(both(`[null, null${end}`), { args: [], kwargs: {}, ...nothing });
  t.strictSame(both(`[["a${end.replaceAll('"', '\\"')}"], {}${end}`), { args: [`a${end}`], kwargs: {}, ...nothing });
  for (const odd of [
    '',
    '[',
    '[[]',
    '[[], {}, {}',
    '[[], []',
    '[{}, {}',
    '[[1], {"k": 1',
    '[[1], {}, ',
    '["a',
    '{"args": [], "kwargs": {}',
    '[[1], {}]',
  ])
    t.type(both(`${odd}${end}`), 'string', 'refused');
});

t.test('writing: what cannot be sent', async (t) => {
  t.throws(() => encodeTask({ ...plain, args: [new Map()] }), {
    name: 'TypeError',
    message: 'Object of type Map is not JSON serializable',
  });
  t.throws(() => encodeTask({ ...plain, serializer: 'pickle' }), { code: 'NOT_SUPPORTED' });
  t.throws(() => encodeTask({ ...plain, compression: 'lzma' }), { code: 'NOT_SUPPORTED' });
  t.strictSame(encodeTask({ ...plain, protocol: 1 }).headers, {});
  // messages.md §7: Python workers do not survive them.
  for (const headers of [{ id: null }, { id: '' }, { task: 5 }, { timelimit: 5 }, { timelimit: [1, 2, 3] }, { timelimit: 'soon' }])
    t.throws(() => encodeTask({ ...plain, headers }), { code: 'TASK_OPTION_INVALID', message: /the header (id|task|timelimit) must be/ });
  const { id } = encodeTask(plain).headers ?? {};
  t.match(encodeTask({ ...plain, headers: { id: undefined, timelimit: [3, null], mine: 1 } }).headers, {
    id,
    timelimit: [3, null],
    mine: 1,
  });
});

t.test('writing protocol 1: the rest of a chain is callbacks, one inside the other', async (t) => {
  const step = (task: string, options: object = {}): object => ({ task, args: [], kwargs: {}, options, subtask_type: null });
  const body = step('body', { link: [step('own')] });
  const chord = { ...step('celery.chord'), subtask_type: 'chord', kwargs: { header: [step('part')], body } };
  const chain = [step('last'), chord, step('next', { task_id: 'n', link: step('linked') })];
  const { callbacks, chain: none } = readContent(encodeTask({ ...plain, protocol: 1, callbacks: [step('mine')], chain }), 1);
  t.equal(none, null);
  t.strictSame(callbacks, [
    step('mine'),
    step('next', {
      task_id: 'n',
      link: [step('linked'), { ...chord, kwargs: { header: [step('part')], body: step('body', { link: [step('own'), step('last')] }) } }],
    }),
  ]);
  t.strictSame(readContent(encodeTask({ ...plain, protocol: 1, chain: [] }), 1).callbacks, null);
  t.strictSame(chain[0], step('last'), 'what was given is left as it was');
});
