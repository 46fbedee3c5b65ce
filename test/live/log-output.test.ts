/** Log files by process, their rotation, and what tasks write: each line with its task, wherever it comes from. */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import t from 'tap';
import { eventually } from '../pool/eventually.ts';
import { LiveFolder } from './live-folder.ts';
import type { LogEvent } from './live-worker.ts';

const talkingTasks = `
import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { currentTask, task } from 'umbel';

export function prints(text: string): void {
  console.log(text);
  console.error('error ' + text);
}
export function partial(): void {
  process.stdout.write('one ');
  process.stdout.write('line\\nand ');
  process.stdout.write(Buffer.from('ä'.repeat(3)).subarray(0, 3));
  process.stdout.write(Buffer.from('ä'.repeat(3)).subarray(3));
  process.stdout.write('\\nunfinished');
}
/** Two of these at a time write their halves in turns. */
export async function halves(name: string): Promise<void> {
  for (let n = 0; n < 3; n += 1) {
    process.stdout.write(name + ' first, ');
    await sleep(20);
    process.stdout.write(name + ' second\\n');
    await sleep(20);
  }
}
export function native(): void {
  writeSync(1, 'from the descriptor\\n');
  spawnSync('sh', ['-c', 'echo from a grandchild; echo its error >&2'], { stdio: 'inherit' });
}
export function calls(): number {
  let written = 0;
  return process.stdout.write('with a callback\\n', () => { written += 1; }) ? 1 : 0;
}
export const logs = task({ bind: true }, (self, text: string) => {
  self.log.debug('debug %s', text);
  self.log.info('info %s', text);
  self.log.warning('warning %s', text);
  self.log.error('error %s', text);
});
export const deep = async (): Promise<void> => { await sleep(1); below(); };
const below = () => currentTask()?.log.warning('from deep below');
export function saysAndSpins(): void {
  console.log('before');
  console.log('it spins');
  currentTask()?.log.info('and logs');
  for (;;) {}
}
export function saysAndEnds(): never {
  console.log('before');
  process.stdout.write('it ends');
  process.exit(3);
}
export function saysAndDies(): void {
  console.log('before');
  console.log('it dies');
  process.kill(process.pid, 'SIGKILL');
  for (;;) {}
}
`;

void t.test("-n worker1@example.com -c 2 -f '%n%I.log' gives each process its file", async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', talkingTasks);
  const client = await folder.client();
  const args = ['-A', 'tasks.ts', '-n', 'worker1@example.com', '-c', '2', '-f', '%n%I.log', '-l', 'info', '-O', 'fair'];
  const worker = folder.start(['worker', ...args]);
  // The banner comes when one child is ready. The other makes its file as it starts, and may still do so when all tasks have run.
  await worker.line(/concurrency: 2 \(prefork\)/);
  await eventually(t, 'each child has its file', () => [1, 2].every((index) => existsSync(folder.file(`worker1-${index}.log`))));
  for (let n = 0; n < 20; n += 1) {
    const called = await client.call<null>({ task: 'tasks.logs', args: [`n${n}`], kwargs: {}, options: { taskId: `t${n}` } });
    await called.get({ timeoutMs: 20_000 });
    const printed = await client.call<null>({ task: 'tasks.prints', args: [`p${n}`], kwargs: {}, options: { taskId: `p${n}` } });
    await printed.get({ timeoutMs: 20_000 });
  }
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.strictSame(
    readdirSync(folder.path).filter((name) => name.endsWith('.log')),
    ['worker1-1.log', 'worker1-2.log', 'worker1.log'],
  );
  const main = folder.read('worker1.log').trimEnd().split('\n');
  const time = String.raw`\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: `;
  for (const line of main) t.match(line, new RegExp(`^${time}(INFO|WARNING)/MainProcess\\] .`));
  t.ok(main.some((line) => /INFO\/MainProcess\] worker1@example\.com ready\.$/.test(line)));
  t.ok(main.some((line) => /INFO\/MainProcess\] Task tasks\.logs\[t7\] received$/.test(line)));
  t.ok(main.some((line) => /INFO\/MainProcess\] Task tasks\.logs\[t7\] succeeded in [\d.e-]+s: None$/.test(line)));
  t.ok(main.some((line) => /WARNING\/MainProcess\] worker: Warm shutdown \(MainProcess\)$/.test(line)));

  const children = [1, 2].map((index) =>
    folder
      .read(`worker1-${index}.log`)
      .split('\n')
      .filter((line) => line !== ''),
  );
  for (const [at, lines] of children.entries()) {
    const own = new RegExp(`^${time}(INFO|WARNING|ERROR)/PoolChild-${at + 1}\\] tasks\\.(logs|prints)\\[[tp]\\d+\\]: .`);
    for (const line of lines) t.match(line, own);
  }
  const all = children.flat();
  t.equal(all.length, 20 * 3 + 20 * 2, 'info, warning and error of each, and what was printed; no debug');
  for (let n = 0; n < 20; n += 1) {
    t.equal(all.filter((line) => line.endsWith(`] tasks.logs[t${n}]: info n${n}`)).length, 1);
    t.equal(
      all.filter(
        (line) =>
          line.endsWith(`WARNING/PoolChild-1] tasks.prints[p${n}]: p${n}`) ||
          line.endsWith(`WARNING/PoolChild-2] tasks.prints[p${n}]: p${n}`),
      ).length,
      1,
    );
  }
});

void t.test('a log file that was moved away is made anew, in the parent and in the children', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', talkingTasks);
  const client = await folder.client();
  const worker = folder.start(['worker', '-A', 'tasks.ts', '-n', 'w@h', '-c', '1', '-f', '%n%I.log', '-l', 'info']);
  await worker.line(/concurrency: 1 \(prefork\)/);
  const call = async (id: string): Promise<void> => {
    const called = await client.call<null>({ task: 'tasks.logs', args: [id], kwargs: {}, options: { taskId: id } });
    await called.get({ timeoutMs: 20_000 });
  };
  await call('before');
  for (const name of ['w', 'w-1']) renameSync(folder.file(`${name}.log`), folder.file(`${name}.log.1`));
  // The file is looked for within a quarter of a second of writing; until then lines go to the old one. None is lost.
  let calls = 0;
  const deadline = performance.now() + 30_000;
  while (!(existsSync(folder.file('w.log')) && existsSync(folder.file('w-1.log'))) && performance.now() < deadline) {
    calls += 1;
    await call(`turn${calls}`);
  }
  await call('after');
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.match(folder.read('w.log.1'), /tasks\.logs\[before\] received/);
  t.match(folder.read('w.log'), /tasks\.logs\[after\] succeeded/);
  t.match(folder.read('w-1.log.1'), /tasks\.logs\[before\]: info before/);
  t.match(folder.read('w-1.log'), /tasks\.logs\[after\]: info after/);
  const both = folder.read('w-1.log.1') + folder.read('w-1.log');
  for (let n = 1; n <= calls; n += 1) t.match(both, `tasks.logs[turn${n}]: info turn${n}\n`);
});

void t.test('what tasks write becomes log lines with their names', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', talkingTasks);
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1']).ready();
  const run = async (task: string, ...args: unknown[]): Promise<unknown> => {
    const called = await client.call<unknown>({ task: `tasks.${task}`, args, kwargs: {}, options: { taskId: task } });
    return called.get({ timeoutMs: 20_000 });
  };
  const linesOf = (taskId: string, event = 'task.output'): LogEvent[] =>
    worker.events.filter((line) => line.event === event && line.taskId === taskId);

  await run('prints', 'hello');
  await worker.event('task.succeeded', ({ taskId }) => taskId === 'prints');
  t.match(linesOf('prints'), [
    { message: 'hello', level: 'warning', process: 'PoolChild-1', taskName: 'tasks.prints', stream: 'stdout' },
    { message: 'error hello', level: 'warning', stream: 'stderr' },
  ]);
  await run('partial');
  await worker.event('task.succeeded', ({ taskId }) => taskId === 'partial');
  t.strictSame(
    linesOf('partial').map(({ message }) => message),
    ['one line', 'and äää', 'unfinished'],
  );
  await run('native');
  await worker.count('task.output', 3, ({ taskId }) => taskId === 'native');
  t.strictSame(
    linesOf('native')
      .map(({ message }) => message)
      .toSorted(),
    ['from a grandchild', 'from the descriptor', 'its error'],
  );
  t.equal(await run('calls'), 1, 'write says that there is room');
  await run('deep');
  t.match(await worker.event('task.log', ({ taskId }) => taskId === 'deep'), { message: 'from deep below', level: 'warning' });
  await run('logs', 'x');
  await worker.event('task.succeeded', ({ taskId }) => taskId === 'logs');
  t.strictSame(
    linesOf('logs', 'task.log').map(({ level, message }) => `${level} ${message}`),
    ['debug debug x', 'info info x', 'warning warning x', 'error error x'],
  );
  await worker.stop();
});

void t.test('tasks that write at the same time keep their lines apart', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', talkingTasks);
  folder.write('umbel.toml', '[worker]\nchild_concurrency = 3\n');
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1']).ready();
  const names = ['a', 'b', 'c'];
  const calls = names.map((name) => client.call<null>({ task: 'tasks.halves', args: [name], kwargs: {}, options: { taskId: name } }));
  for (const call of calls) await (await call).get({ timeoutMs: 20_000 });
  await worker.count('task.succeeded', 3);
  for (const name of names) {
    const lines = worker.all('task.output').filter(({ taskId }) => taskId === name);
    t.strictSame(
      lines.map(({ message }) => message),
      Array(3).fill(`${name} first, ${name} second`),
    );
  }
  await worker.stop();
});

for (const logfile of [[], ['-f', 'w%I.log']]) {
  const where = logfile.length === 0 ? 'the log' : 'the log file of a child';
  void t.test(`what a task says last before it spins, ends or kills its child is in ${where}`, async (t) => {
    const folder = new LiveFolder(t);
    folder.write('tasks.ts', talkingTasks);
    const client = await folder.client();
    const worker = folder.worker(['-A', 'tasks.ts', '-c', '1', ...logfile]);
    await worker.line(/concurrency: 1 \(prefork\)/);
    for (const name of ['saysAndEnds', 'saysAndDies']) {
      const called = await client.call<null>({ task: `tasks.${name}`, args: [], kwargs: {}, options: { taskId: name } });
      t.match(await called.get({ timeoutMs: 20_000, propagate: false }), { remoteName: 'WorkerLostError' });
    }
    await client.call<null>({ task: 'tasks.saysAndSpins', args: [], kwargs: {}, options: { taskId: 'saysAndSpins' } });
    const said = (): string[] =>
      logfile.length === 0 ? worker.lines : existsSync(folder.file('w-1.log')) ? folder.read('w-1.log').split('\n') : [];
    const deadline = performance.now() + 20_000;
    while (!said().some((line) => line.includes('"and logs"')) && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 10));
    const messages = said()
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as LogEvent)
      .filter(({ event }) => event === 'task.output' || event === 'task.log');
    const of = (id: string): string[] => messages.filter(({ taskId }) => taskId === id).map(({ message }) => message);
    t.strictSame(of('saysAndEnds'), ['before', 'it ends']);
    t.strictSame(of('saysAndDies'), ['before', 'it dies']);
    t.strictSame(of('saysAndSpins'), ['before', 'it spins', 'and logs']);
    t.equal((await worker.stop('SIGQUIT')).code, 1);
  });
}

void t.test('worker.redirect_stdouts = false leaves output alone', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', talkingTasks);
  folder.write('umbel.toml', '[worker]\nredirect_stdouts = false\n');
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1']).ready();
  const called = await client.call<null>({ task: 'tasks.prints', args: ['plainly'], kwargs: {}, options: {} });
  await called.get({ timeoutMs: 20_000 });
  await worker.line(/^plainly$/);
  await worker.line(/^error plainly$/);
  t.ok(worker.stdout.includes('plainly'), 'stdout is stdout');
  t.strictSame(worker.all('task.output'), []);
  await worker.stop();
});
