/**
 * Chords while their workers are killed at random: the body of each runs once, on the embedded broker, on Redis, and on RabbitMQ with results in
 * Redis.
 *
 * A body whose worker was killed comes again, marked redelivered, as every task that is acknowledged late; any other second run is a failure. The
 * seed is printed; CHAOS_SEED repeats a run. CHORD_CHAOS is the number of chords (1000 with 20 parts each is the full size).
 */
import { existsSync, readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { taskHandle } from '../../src/task/task.ts';
import { chord } from '../../src/task/workflow.ts';
import { eventually } from '../pool/eventually.ts';
import { type BrokerKind, openBrokerAndResults } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';
import { SeededRandom } from './seeded-random.ts';
import { startedApp } from './started-client.ts';

const chordCount = Number(process.env.CHORD_CHAOS ?? 30);
const partCount = chordCount >= 1000 ? 20 : 8;
const killCount = Math.max(3, Math.round(chordCount / 20));
const timeoutMs = 120_000 + chordCount * 600;

t.setTimeout(3 * timeoutMs + 120_000);

const tasks = `
import { appendFileSync } from 'node:fs';
import { task } from 'umbel';
const late = { acksLate: true, rejectOnWorkerLost: true };
const note = (file, ...values) => appendFileSync(process.env[file], values.join(' ') + '\\n');
/** As it was at the start: a child that begins a body as its worker is killed has another parent by then. */
const worker = process.ppid;
export const part = task({ name: 'part', ...late }, async (value, ms) => {
  note('PARTS', value);
  await new Promise((resolve) => setTimeout(resolve, ms));
  return value;
});
export const body = task({ name: 'body', bind: true, ...late }, (context, values, chord) => {
  note('BODIES', chord, worker, context.deliveryInfo.redelivered === true);
  return values.reduce((sum, value) => sum + value, 0);
});
`;

interface Run {
  readonly chord: number;
  readonly worker: number;
  readonly redelivered: boolean;
}

async function chaos(t: Test, kind: BrokerKind): Promise<void> {
  const random = SeededRandom.fromEnvironment('CHAOS_SEED');
  t.comment(`CHAOS_SEED=${random.seed} CHORD_CHAOS=${chordCount}`);
  const folder = new LiveFolder(t);
  const { url, backend } = await openBrokerAndResults(t, kind, folder);
  const module = folder.write('chords.mjs', tasks);
  const [parts, bodies] = [folder.file('parts.log'), folder.file('bodies.log')];
  const env = {
    UMBEL_RESULT_BACKEND: backend,
    // Renewed after a third: what is left is more than a busy machine stands still. Who has lost a lease may see its body run again.
    UMBEL_SQLITE_LEASE_SECONDS: '5',
    UMBEL_REDIS_LEASE_SECONDS: '5',
    PARTS: parts,
    BODIES: bodies,
  };
  const start = (): LiveWorker => folder.worker(['-A', module, '-b', url, '-c', '2'], { env });
  const workers = [start(), start(), start()];
  await Promise.all(workers.map((worker) => worker.ready()));
  await startedApp(t, { broker: url, backend });

  const part = taskHandle<[number, number], number>('part');
  const body = taskHandle<[number[], number], number>('body');
  const sum = (partCount * (partCount - 1)) / 2;
  const header = () => Array.from({ length: partCount }, (_, value) => part.s(value, random.below(10)));
  const chords = Array.from({ length: chordCount }, (_, index) => chord(header(), body.signature({ kwargs: { chord: index } })));
  const results = await Promise.all(chords.map((whole) => whole.delay()));
  const values = Promise.all(results.map((result) => result.get({ timeoutMs })));
  values.catch(() => {});

  const killed = new Set<number>();
  const total = chordCount * partCount;
  const thresholds = Array.from({ length: killCount }, () => 1 + random.below(Math.floor(total * 0.95))).sort((a, b) => a - b);
  for (const threshold of thresholds) {
    // Executions, of which there are at least as many as parts.
    await eventually(t, `${threshold} parts have run`, () => linesOf(parts).length >= threshold, timeoutMs);
    const which = random.below(workers.length);
    const worker = workers[which] as LiveWorker;
    killed.add(worker.pid);
    await worker.stop('SIGKILL');
    workers[which] = start();
  }
  t.strictSame(
    (await values).filter((value) => value !== sum),
    [],
    'every chord has the sum of its parts',
  );
  for (const worker of workers) await worker.ready();
  const ends = await Promise.all(workers.map(async (worker) => (await worker.stop()).code));
  t.strictSame(ends, [0, 0, 0]);

  const runs = linesOf(bodies).map((line): Run => {
    const [index, worker, redelivered] = line.split(' ');
    return { chord: Number(index), worker: Number(worker), redelivered: redelivered === 'true' };
  });
  const wrong: string[] = [];
  for (let index = 0; index < chordCount; index += 1) {
    const own = runs.filter((run) => run.chord === index);
    if (own.length === 0) wrong.push(`chord ${index} has no body`);
    for (const [at, run] of own.entries()) {
      if (at > 0 && !run.redelivered) wrong.push(`the body of chord ${index} was sent again`);
      if (at < own.length - 1 && !killed.has(run.worker)) wrong.push(`the body of chord ${index} runs again though its worker lives`);
    }
  }
  t.strictSame(wrong, []);
  t.comment(`${runs.length} runs of ${chordCount} bodies, ${linesOf(parts).length} of ${total} parts, ${killed.size} kills`);
}

function linesOf(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

t.test('embedded', (t) => chaos(t, 'sqlite'));
t.test('redis', (t) => chaos(t, 'redis'));
t.test('rabbitmq, with results in redis', (t) => chaos(t, 'rabbitmq'));
