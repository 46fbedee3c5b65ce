/** Real Python Celery reads what we write: envelopes, tasks (which it then runs), signatures, results and exceptions. */
import { spawn, spawnSync } from 'node:child_process';
import t from 'tap';
import { signature } from '../../src/canvas/signature.ts';
import {
  encodeError,
  exceptionDocument,
  notRegistered,
  softTimeLimitExceeded,
  taskRevoked,
  timeLimitExceeded,
  workerLost,
} from '../../src/protocol/exception.ts';
import { encodeJson, parseJson } from '../../src/protocol/json.ts';
import { encodeResultDocument } from '../../src/protocol/result.ts';
import { encodeTask, type OutgoingTask } from '../../src/protocol/task-message.ts';
import { encodeEnvelope } from '../../src/protocol/virtual-envelope.ts';
import { repr, reprArgs } from '../../src/std/safe-repr.ts';

const python = '/usr/bin/python3';

/** Reads a JSON object from stdin, answers with one on stdout. */
const script = `
import json, sys
from celery import Celery, signature
from celery.result import result_from_tuple
from celery.utils.saferepr import saferepr
from celery.worker.request import Request
from kombu import Connection

app = Celery('proj', broker='memory://', backend='cache+memory://')
app.conf.accept_content = ['json']
app.conf.task_ignore_result = False
app.set_current()

@app.task(name='proj.echo', bind=True)
def echo(self, *args, **kwargs):
    r = self.request
    return {'args': list(args), 'kwargs': kwargs, 'repr': saferepr(args, 1024), 'id': r.id, 'root_id': r.root_id, 'parent_id': r.parent_id,
            'group': r.group, 'retries': r.retries, 'timelimit': list(r.timelimit), 'trace': getattr(r, 'x-trace', None),
            'callbacks': r.callbacks, 'chain': r.chain, 'reply_to': r.reply_to, 'correlation_id': r.correlation_id}

# Follow-ups are looked at above; here nothing is to be sent.
app.send_task = lambda *a, **k: app.AsyncResult('not-sent')
app.amqp.send_task_message = lambda *a, **k: None

channel = Connection('memory://').channel()
given = json.load(sys.stdin)
out = {'tasks': [], 'results': [], 'signatures': []}
for text in given['envelopes']:
    message = channel.message_to_python(json.loads(text))
    message.channel = channel
    if 'task' not in message.headers:
        from celery.worker.strategy import proto1_to_proto2
        body, headers, decoded, utc = proto1_to_proto2(message, message.decode())
        request = Request(message, app=app, hostname='h', task=echo, body=body, headers=headers, decoded=True, utc=utc, on_ack=lambda *a: None)
    else:
        request = Request(message, app=app, hostname='h', task=echo, on_ack=lambda *a: None)
    info = {'name': request.name, 'eta': request.eta and request.eta.isoformat(), 'expires': request.expires and request.expires.isoformat(),
            'argsrepr': request.argsrepr, 'delivery_info': dict(request.delivery_info)}
    request.expires = None
    info['ran'] = request.execute()
    out['tasks'].append(info)
for text in given['results']:
    meta = app.backend.decode_result(text)
    value = meta['result']
    if isinstance(value, BaseException):
        cls = type(value)
        value = {'class': cls.__name__, 'module': cls.__module__, 'args': list(value.args), 'value_error': isinstance(value, ValueError)}
    out['results'].append({'status': meta['status'], 'result': value, 'children': [result_from_tuple(c, app).id for c in meta['children'] or []]})
for item in given['signatures']:
    sig = signature(item, app=app)
    out['signatures'].append([type(sig).__name__, json.loads(json.dumps(sig))])
json.dump(out, sys.stdout)
`;

interface Answer {
  tasks: {
    name: string;
    eta: string | null;
    expires: string | null;
    argsrepr: string;
    delivery_info: unknown;
    ran: Record<string, unknown>;
  }[];
  results: { status: string; result: unknown; children: string[] }[];
  signatures: [string, unknown][];
}

async function ask(question: unknown): Promise<Answer> {
  const child = spawn(python, ['-c', script], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(JSON.stringify(question));
  const read = async (stream: NodeJS.ReadableStream): Promise<string> => {
    let text = '';
    for await (const chunk of stream.setEncoding('utf8')) text += chunk;
    return text;
  };
  const exited = new Promise<number | null>((resolve) => child.on('close', resolve));
  const [stdout, stderr, code] = await Promise.all([read(child.stdout), read(child.stderr), exited]);
  if (code !== 0) throw new Error(`python ended with ${code}: ${stderr}`);
  return parseJson(stdout) as Answer;
}

const base: OutgoingTask = {
  task: 'proj.echo',
  id: 'id-1',
  args: [1, 2.5, 'hé😀', null, true, [1, { a: 'b' }]],
  kwargs: { k: "it's" },
  origin: 'gen1@example.com',
};
const address = { exchange: '', routingKey: 'celery', deliveryTag: 'tag' };
const etaMs = Date.UTC(2030, 0, 2, 3, 4, 5, 678);

const hasCelery = spawnSync(python, ['-c', 'import celery, kombu']).status === 0;
const skip = !hasCelery && process.env.CI === undefined ? 'Python Celery is not installed' : false;

t.test('Python Celery reads and runs what we write', { skip, timeout: 60_000 }, async (t) => {
  const chained = signature('proj.echo', [3], {}, { task_id: 'next' });
  const tasks: OutgoingTask[] = [
    base,
    {
      ...base,
      etaMs,
      expiresMs: etaMs + 0.25,
      retries: 2,
      group: 'g',
      groupIndex: 1,
      rootId: 'root',
      parentId: 'parent',
      hardTimeLimitSeconds: 30,
      softTimeLimitSeconds: 20,
      headers: { 'x-trace': 'abc' },
      replyTo: 'r',
      priority: 5,
    },
    { ...base, compression: 'zlib', args: ['z'.repeat(3000)] },
    { ...base, args: [Number.NaN, Infinity, 12345678901234567890n, new Date(etaMs)] },
    { ...base, callbacks: [signature('proj.echo', [1])], chain: [chained] },
    { ...base, protocol: 1, group: 'g' },
  ];
  const record = {
    taskId: 'id-1',
    traceback: null,
    childrenJson: '[[["child", null], null]]',
    dateDoneMs: etaMs,
    groupId: 'g',
    parentId: null,
  };
  const exceptions = [new RangeError('boom'), new Error('plain'), Object.assign(new Error('no file'), { code: 'ENOENT' })].map(
    exceptionDocument,
  );
  const fixed = [
    taskRevoked('expired'),
    notRegistered('x.y'),
    timeLimitExceeded(1.5),
    softTimeLimitExceeded(),
    workerLost('gone'),
    encodeError(new TypeError('t')),
  ];
  const results = [
    encodeResultDocument({ ...record, status: 'SUCCESS', resultJson: encodeJson({ n: [1, Number.NaN] }) }),
    ...[...exceptions, ...fixed].map((document) =>
      encodeResultDocument({ ...record, status: 'FAILURE', resultJson: encodeJson(document) }),
    ),
  ];
  const group = { ...signature('celery.group', [], { tasks: [chained, chained] }), subtask_type: 'group' };

  const answer = await ask({
    envelopes: tasks.map((task) => encodeEnvelope(encodeTask(task), address)),
    results,
    signatures: [chained, group],
  });

  const [plain, full, compressed, special, linked, first] = answer.tasks;
  t.match(plain, {
    name: 'proj.echo',
    eta: null,
    expires: null,
    delivery_info: { exchange: '', routing_key: 'celery', priority: 0 },
    ran: { id: 'id-1', root_id: 'id-1', parent_id: null, retries: 0, timelimit: [null, null], reply_to: '', correlation_id: 'id-1' },
  });
  t.strictSame(plain?.ran.args, base.args);
  t.strictSame(plain?.ran.kwargs, base.kwargs);
  t.equal(plain?.ran.repr, reprArgs(base.args), 'our argsrepr is the one Python makes of the same arguments');
  t.match(full, { eta: '2030-01-02T03:04:05.678000+00:00', expires: '2030-01-02T03:04:05.678250+00:00', delivery_info: { priority: 5 } });
  t.match(full?.ran, { group: 'g', root_id: 'root', parent_id: 'parent', retries: 2, timelimit: [30, 20], trace: 'abc', reply_to: 'r' });
  t.strictSame(compressed?.ran.args, ['z'.repeat(3000)]);
  t.equal(compressed?.argsrepr, compressed?.ran.repr, 'cut as Python cuts');
  t.equal(special?.ran.repr, "(nan, inf, 12345678901234567890, '2030-01-02T03:04:05.678000+00:00')");
  t.match(linked?.ran, { callbacks: [{ args: [1] }] });
  t.match(first?.ran, { id: 'id-1', group: 'g', args: base.args, kwargs: base.kwargs });

  const [success, ...failures] = answer.results;
  t.match(success, { status: 'SUCCESS', children: ['child'] });
  t.strictSame(
    failures.map((failure) => failure.result),
    [
      { class: 'ValueError', module: 'builtins', args: ['boom'], value_error: true },
      { class: 'Error', module: 'celery.exceptions', args: ['plain'], value_error: false },
      { class: 'FileNotFoundError', module: 'builtins', args: ['no file'], value_error: false },
      { class: 'TaskRevokedError', module: 'celery.exceptions', args: ['expired'], value_error: false },
      { class: 'NotRegistered', module: 'celery.exceptions', args: ['x.y'], value_error: false },
      { class: 'TimeLimitExceeded', module: 'billiard.exceptions', args: [1.5], value_error: false },
      { class: 'SoftTimeLimitExceeded', module: 'billiard.exceptions', args: [], value_error: false },
      { class: 'WorkerLostError', module: 'billiard.exceptions', args: ['gone'], value_error: false },
      { class: 'EncodeError', module: 'kombu.exceptions', args: [`TypeError(${repr('t')})`], value_error: false },
    ],
  );
  t.strictSame(answer.signatures, [
    ['Signature', JSON.parse(encodeJson(chained))],
    ['group', JSON.parse(encodeJson(group))],
  ]);
});
