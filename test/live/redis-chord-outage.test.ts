/**
 * Chords on a worker whose connections are killed and whose scripts are forgotten again and again: at no instant is a part acknowledged
 * that is not counted with its result, or counted and not acknowledged, save the ones that complete their chords; every body runs once.
 *
 * Judged by Redis's own journal, which has every step in which something became visible.
 */
import t, { type Test } from 'tap';
import { balance, journalOf, partBalance } from '../backend/redis/redis-journal.ts';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';

const rounds = 3;
const chordsPerRound = 20;
const chords = rounds * chordsPerRound;
const size = 10;
const idOf = (entry: string): string => String(JSON.parse(entry)[0].headers.id);

const pythonTasks = (url: string): string => `
from celery import Celery, chord
app = Celery('tasks', broker='${url}', backend='${url}')
@app.task(name='late')
def late(value): return value
@app.task(name='tsum')
def tsum(values): return sum(values)
`;

const umbelTasks = `
import { task } from 'umbel';
export const late = task({ name: 'late', acksLate: true }, (value) => value);
export const tsum = task({ name: 'tsum', acksLate: true }, (values) => values.reduce((sum, value) => sum + value, 0));
`;

void t.test('600 parts, killed connections, forgotten scripts', { skip: celeryMissing() }, async (t: Test) => {
  t.setTimeout(180_000);
  const server = await RedisServer.start(t, {
    config: { appendonly: 'yes', appendfsync: 'no', 'auto-aof-rewrite-percentage': '0' },
  });
  const url = server.url();
  const folder = new LiveFolder(t);
  const module = folder.write('chords.mjs', umbelTasks);
  const celery = new PythonCelery(t, pythonTasks(url));
  const senders = Array.from({ length: rounds }, (_, round) =>
    celery.script(`
sys.stdin.readline()
for c in range(${round * chordsPerRound}, ${(round + 1) * chordsPerRound}):
    parts = [late.s(c + p).set(task_id='part-%d-%d' % (c, p)) for p in range(${size})]
    chord(parts)(tsum.s().set(task_id='body-%d' % c))
`),
  );
  const bodies = Array.from({ length: chords }, (_, chord) => `celery-task-meta-body-${chord}`);
  const parts = Array.from({ length: chords * size }, (_, at) => `celery-task-meta-part-${Math.floor(at / size)}-${at % size}`);
  const stored = (): number => Number(server.cli('EXISTS', ...parts, ...bodies));

  const worker = folder.worker(['-A', module, '-b', url, '-c', '2', '-l', 'info'], { env: { UMBEL_RESULT_BACKEND: url } });
  await worker.ready();
  let kills = 0;
  for (const [round, sender] of senders.entries()) {
    // It begins with them when it is hit, however fast it is.
    worker.kill('SIGSTOP');
    sender.say('go');
    await sender.rest();
    const all = (round + 1) * chordsPerRound * (size + 1);
    let before = stored();
    worker.kill('SIGCONT');
    while (before < all) {
      server.cli('SCRIPT', 'FLUSH');
      server.cli('CLIENT', 'KILL', 'TYPE', 'normal');
      kills += 1;
      // It goes on before it is hit again.
      await eventually(t, 'it goes on', () => stored() !== before);
      before = stored();
    }
  }
  await eventually(t, 'all is acknowledged', () => server.cli('EXISTS', 'unacked') === '0');
  t.comment(`${kills} kills`);
  t.ok(kills >= rounds, `${kills} kills`);

  for (const [chord, key] of bodies.entries()) {
    t.match(JSON.parse(server.cli('GET', key)), { status: 'SUCCESS', result: size * chord + (size * (size - 1)) / 2 });
  }
  t.equal(server.cli('KEYS', 'celery-taskset-meta-*'), '', 'every chord was ended');
  const steps = journalOf(server);
  const { together, completing, alone } = partBalance(steps, idOf, 'part-');
  t.strictSame(alone, []);
  t.equal(completing.size, chords);
  t.equal(together.size, chords * (size - 1));
  t.equal([...balance(steps, idOf).together].filter((id) => id.startsWith('body-')).length, chords);
  t.strictSame(worker.all('task.settle-failed'), []);
  t.match(await worker.stop(), { code: 0 });
});
