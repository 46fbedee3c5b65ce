/**
 * Chords of a Python client whose parts run on umbel workers: every form that Celery sends comes to its end, with the words of Celery.
 *
 * What Celery's own worker answers to the same calls was looked at first; where that hangs for ever, the form is marked so.
 */
import t, { type Test } from 'tap';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';

t.setTimeout(300_000);

const pythonTasks = (url: string): string => `
from celery import Celery, chain, chord, group
app = Celery('tasks', broker='${url}', backend='${url}')
@app.task(name='add')
def add(x, y=0): return x + y
@app.task(name='tsum')
def tsum(values, extra=0): return sum(values) + extra
@app.task(name='same')
def same(value): return value
@app.task(name='boom')
def boom(*args): raise ValueError('boom')
@app.task(name='oops')
def oops(task_id): return task_id
@app.task(name='quiet')
def quiet(value): return value
@app.task(name='again')
def again(value): return value
@app.task(name='die')
def die(): pass
@app.task(name='late')
def late(value): return value
@app.task(name='note')
def note(values, name): pass
def outcome(result):
    try:
        return ['ok', result.get(timeout=30)]
    except Exception as error:
        return [type(error).__name__, str(error)]
`;

const umbelTasks = `
import { appendFileSync } from 'node:fs';
import { task } from 'umbel';
class ValueError extends Error {
  name = 'ValueError';
}
export const add = task({ name: 'add' }, (x, y = 0) => x + y);
export const tsum = task({ name: 'tsum' }, (values, extra = 0) => values.reduce((sum, value) => sum + value, extra));
export const same = task({ name: 'same' }, (value) => value);
export const boom = task({ name: 'boom' }, () => {
  throw new ValueError('boom');
});
export const oops = task({ name: 'oops' }, (taskId) => taskId);
export const quiet = task({ name: 'quiet', ignoreResult: true }, (value) => value);
export const again = task({ name: 'again', bind: true }, (self, value) => {
  if (self.retries < 2) throw self.retry({ countdown: 0 });
  return value;
});
export const die = task({ name: 'die' }, () => process.exit(3));
export const late = task({ name: 'late', acksLate: true, rejectOnWorkerLost: true }, (value) => value);
export const note = task({ name: 'note', acksLate: true, rejectOnWorkerLost: true }, (values, name) => {
  appendFileSync(process.env.NOTES, name + ' ' + JSON.stringify(values) + '\\n');
  return values.length;
});
`;

interface Place {
  readonly server: RedisServer;
  readonly folder: LiveFolder;
  readonly celery: PythonCelery;
  worker(queues: string, env?: Readonly<Record<string, string>>): Promise<LiveWorker>;
}

async function place(t: Test): Promise<Place> {
  const server = await RedisServer.start(t);
  const folder = new LiveFolder(t);
  const module = folder.write('chords.mjs', umbelTasks);
  const url = server.url();
  const worker = (queues: string, env: Readonly<Record<string, string>> = {}): Promise<LiveWorker> =>
    folder
      .worker(['-A', module, '-b', url, '-c', '2', '-Q', queues], {
        env: { UMBEL_RESULT_BACKEND: url, NOTES: folder.file('notes.log'), ...env },
      })
      .ready();
  return { server, folder, celery: new PythonCelery(t, pythonTasks(url)), worker };
}

/** Signature in Python, and what its get() comes to. */
const forms: readonly (readonly [string, unknown])[] = [
  ['chord([add.s(i, i) for i in range(10)], tsum.s())', 90],
  ['chord([add.s(4, 4)], tsum.s())', 8],
  ['chord([add.s(1, 1), add.s(2, 2)], tsum.s(100))', 106],
  ['chord([add.s(1, 1), add.s(2, 2)], add.si(20, 3))', 23],
  ['group(add.s(1, 1), add.s(2, 2)) | tsum.s()', 6],
  ['chord([add.s(1, 1), add.s(2, 2)], chain(tsum.s(), add.s(5)))', 11],
  ['chord([add.s(1, 1)], group(tsum.s(), tsum.s(1)))', [2, 3]],
  ['chord([add.s(1, 1), add.s(2, 2)], chord([tsum.s(), tsum.s(1)], tsum.s()))', 13],
  ['chord([add.s(1, 1), add.s(2, 2)], chain(tsum.s(), group(add.s(1), add.s(2)), tsum.s()))', 15],
  ['chain(add.s(1, 1), chord([add.s(1), add.s(2)], tsum.s()))', 7],
  ['chain(add.s(1, 1), chord([add.s(1), add.s(2)], tsum.s()), add.s(100))', 107],
  ['chain(add.s(1, 1), group(add.s(1), add.s(2)), tsum.s(), add.s(3))', 10],
  ['chord([add.s(1, 1), chord([add.s(2, 2), add.s(3, 3)], tsum.s())], tsum.s())', 12],
  ['chord([chain(add.s(1, 1), add.s(2)), chain(add.s(3, 3), add.s(4))], tsum.s())', 14],
  // Python unrolls inner groups from their ends.
  ['chord([group(add.s(1, 1), add.s(2, 2)), group(add.s(3, 3), add.s(4, 4))], same.s())', [4, 2, 8, 6]],
  ['chord([add.s(0, 7), chain(add.s(1, 1), group(add.s(1), add.s(2)))], same.s())', [7, [3, 4]]],
  ['chord([chain(add.s(1, 1), chord([add.s(3), add.s(4)], tsum.s()))], tsum.s())', 11],
  ['chord([quiet.s(1), quiet.s(2)], tsum.s())', 3],
  ['chord([again.s(1), again.s(2)], tsum.s())', 3],
  ["chord([same.s(v) for v in ([], {'k': None}, 1.5, 'text \\u00e9', 2**53)], same.s())", [[], { k: null }, 1.5, 'text é', 2 ** 53]],
];

/** What the body fails with; the id is that of the part. */
const failures: readonly (readonly [string, RegExp])[] = [
  ['chord([add.s(1, 1), boom.s(), add.s(2, 2)], tsum.s())', /^Dependency [\w-]{36} raised ValueError\('boom'\)$/],
  ['chord([add.s(1, 1), boom.s()], chain(tsum.s(), add.s(5)))', /^Dependency [\w-]{36} raised ValueError\('boom'\)$/],
  ['chord([chain(boom.s(), add.s(1)), add.s(2, 2)], tsum.s())', /^Dependency [\w-]{36} raised ValueError\('boom'\)$/],
  // From here on Celery 5.2 leaves the body without an end.
  [
    'chord([chain(boom.s(), chord([add.s(3), add.s(4)], tsum.s())), add.s(1, 1)], tsum.s())',
    /^Dependency [\w-]{36} raised ValueError\('boom'\)$/,
  ],
  ['chord([chain(boom.s(), group(add.s(3), add.s(4))), add.s(1, 1)], tsum.s())', /^Join error: ValueError\('boom'\)$/],
  [
    'chord([add.s(1, 1), chord([boom.s(), add.s(3, 3)], tsum.s())], tsum.s())',
    /^Dependency [\w-]{36} raised ChordError\(.*ValueError\('boom'\)/,
  ],
  [
    "chord([app.signature('nobody.knows', args=(1,)), add.s(1, 1)], tsum.s())",
    /^Dependency [\w-]{36} raised NotRegistered\('nobody\.knows'\)$/,
  ],
  ['chord([add.s(1, 1).set(expires=-1), add.s(1, 1)], tsum.s())', /^Dependency [\w-]{36} raised TaskRevokedError\('expired'\)$/],
  [
    'chord([die.s(), add.s(1, 1)], tsum.s())',
    /^Dependency [\w-]{36} raised WorkerLostError\('Worker exited prematurely: exitcode 3 Job: \d+\.'\)$/,
  ],
];

void t.test('every form of a chord that Python sends', { skip: celeryMissing() }, async (t) => {
  t.setTimeout(120_000);
  const { celery, worker, server } = await place(t);
  const umbel = await worker('celery');
  const calls = forms.map(([form]) => `(${form})()`).join(', ');
  const answers = await celery.script(`for result in [${calls}]: say(outcome(result))`).rest();
  for (const [index, [form, expected]] of forms.entries()) t.strictSame(answers[index], ['ok', expected], form);
  // A result is read as soon as it is there; the end of its chord comes a moment later.
  const left = (): string[] =>
    server
      .cli('KEYS', 'celery-taskset-meta-*')
      .split('\n')
      .filter((key) => /\.(j|s|t|umbel-claim)$/.test(key));
  await eventually(t, 'the counters of every chord are deleted', () => left().length === 0);
  t.match(await umbel.stop(), { code: 0 });
  t.strictSame(
    umbel.all('chord.failed').map(({ message }) => message),
    [],
  );
});

void t.test('every way a chord can fail', { skip: celeryMissing() }, async (t) => {
  t.setTimeout(120_000);
  const { celery, worker } = await place(t);
  await worker('celery');
  const calls = failures.map(([form]) => `(${form})()`).join(', ');
  // Asked for by its id: through the handle, get() would raise the error of the part.
  const answers = await celery.script(`for result in [${calls}]: say(outcome(app.AsyncResult(result.id)))`).rest();
  for (const [index, [form, expected]] of failures.entries()) {
    const [type, text] = answers[index] as [string, string];
    t.equal(type, 'ChordError', form);
    t.match(text, expected, form);
  }
  const members = await celery
    .script(`for member in chord([add.s(1, 1), boom.s()], group(tsum.s(), tsum.s(1)))().results: say(outcome(member))`)
    .rest();
  t.match(
    members,
    [
      ['ChordError', /boom/],
      ['ChordError', /boom/],
    ],
    'every member of a body that is a group',
  );
  const told = await celery
    .script(`
oops_id = 'told'
result = chord([boom.s()], tsum.s().on_error(oops.s().set(task_id=oops_id)))()
say(outcome(app.AsyncResult(oops_id))); say(result.id)`)
    .rest();
  t.strictSame(told[0], ['ok', told[1]], 'error callbacks of the body are called with its id');
});

void t.test('parts on both sides, the last one on either; the body on either', { skip: celeryMissing() }, async (t) => {
  t.setTimeout(120_000);
  const { celery, worker } = await place(t);
  await Promise.all([worker('umbel'), celery.worker(['python'])]);
  const answers = await celery
    .script(`
import time
def part(n, queue, **more): return add.s(n, n).set(queue=queue, **more)
for last in ('umbel', 'python'):
    for body in ('umbel', 'python'):
        first = 'python' if last == 'umbel' else 'umbel'
        before = [part(i, (first, last)[i % 2], task_id='%s-%s-%d' % (last, body, i)) for i in range(6)]
        # The last one waits for all the others.
        result = chord(before + [part(100, last, countdown=1)], tsum.s().set(queue=body))()
        say(outcome(result))
        failing = chord(before[:0] + [boom.s().set(queue=first), part(1, last, countdown=1)], tsum.s().set(queue=body))()
        say(outcome(app.AsyncResult(failing.id)))
`)
    .rest();
  for (let pair = 0; pair < 4; pair++) {
    t.strictSame(answers[pair * 2], ['ok', 230]);
    t.match(answers[pair * 2 + 1], ['ChordError', /^Dependency [\w-]{36} raised ValueError\('boom'\)$/]);
  }
});

void t.test('killed when the last part is counted: every body runs', { skip: celeryMissing() }, async (t) => {
  t.setTimeout(120_000);
  const { celery, worker, server, folder } = await place(t);
  server.cli('CONFIG', 'SET', 'notify-keyspace-events', 'K$');
  // So many messages a worker holds, and so many tasks may run again when it is killed. More would be sent ahead of a worker that is killed late.
  const held = 2;
  const env = { UMBEL_REDIS_LEASE_SECONDS: '3', UMBEL_WORKER_PREFETCH_MULTIPLIER: String(held) };
  const kills = 3;
  const chordsPerKill = 14;
  const chords = kills * chordsPerKill;
  folder.write('notes.log', '');
  const client = celery.script(`
import redis
watch = redis.Redis.from_url(app.conf.result_backend).pubsub()
watch.psubscribe('__keyspace@0__:*.umbel-claim')
while watch.get_message(timeout=5) is None: pass
results = []
def send():
    for i in range(len(results), len(results) + ${chordsPerKill}): results.append(chord([late.s(i), late.s(1)], note.s('chord-%d' % i))())
say('listening')
import os, signal
for line in sys.stdin:
    if line == 'done\\n': break
    # However fast a worker was, there are some for this one.
    send()
    # Killed as soon as one chord more is complete, by the first who can know.
    for message in watch.listen():
        if message['type'] == 'pmessage': break
    os.kill(int(line), signal.SIGKILL)
    while watch.get_message() is not None: pass
    say('killed')
for result in results: say(outcome(result))
`);
  t.equal(await client.next(), 'listening');
  for (let kill = 0; kill < kills; kill++) {
    const umbel = folder.worker(['-A', folder.file('chords.mjs'), '-b', server.url(), '-c', '1', '-Q', 'celery'], {
      env: { UMBEL_RESULT_BACKEND: server.url(), NOTES: folder.file('notes.log'), ...env },
    });
    client.say(String(umbel.pid));
    t.equal(await client.next(), 'killed');
    t.match(await umbel.end(), { signal: 'SIGKILL' });
  }
  await worker('celery', env);
  client.say('done');
  const answers = await client.rest();
  t.strictSame(
    answers,
    Array.from({ length: chords }, () => ['ok', 2]),
  );
  const runs = folder.read('notes.log').trimEnd().split('\n');
  const values = new Map(runs.map((line) => [line.split(' ')[0], line.slice(line.indexOf(' ') + 1)]));
  for (let index = 0; index < chords; index++) t.equal(values.get(`chord-${index}`), `[${index},1]`);
  t.ok(runs.length <= chords + held * kills, `${runs.length} runs of ${chords} bodies after ${kills} kills`);
});

void t.test('no result backend: the parts run, and the log says what does not', { skip: celeryMissing() }, async (t) => {
  t.setTimeout(60_000);
  const { celery, worker } = await place(t);
  const umbel = await worker('celery', { UMBEL_RESULT_BACKEND: 'disabled' });
  await celery.script(`chord([add.s(1, 1), add.s(2, 2)])(tsum.s()); say('sent')`).rest();
  const said = await umbel.count('chord.not-counted', 2);
  t.match(said[0], { level: 'error', message: /whose body will not run: there is no result backend/ });
  t.match(await umbel.stop(), { code: 0 });
  t.equal(umbel.all('chord.not-counted').length, 2);
});
