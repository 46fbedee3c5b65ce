/** HUP: the same pid, the new configuration and task code, nothing lost; and what is bad is refused while the worker carries on. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { startNotifyReceiver } from '../os/notify-receiver.ts';
import { eventually } from '../pool/eventually.ts';
import { LiveFolder } from './live-folder.ts';
import { liveTasks } from './live-tasks.ts';
import { allGone, processesIn } from './live-worker.ts';

void t.test('HUP keeps the pid and picks up changed task code and configuration', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', "export const version = () => 'old';\n");
  folder.write('umbel.toml', '[worker]\nconcurrency = 1\n');
  const worker = await folder.worker(['-A', 'tasks.ts', '--pidfile', 'worker.pid']).ready();
  t.equal((await folder.umbel(['call', 'tasks.version', '--wait'])).stdout, '"old"\n');
  const oldChildren = worker.children();
  t.equal(oldChildren.length, 1);

  folder.write('tasks.ts', "export const version = (): string => 'new';\n");
  folder.write('umbel.toml', '[worker]\nconcurrency = 2\n');
  const since = worker.now();
  worker.kill('SIGHUP');
  const ready = await worker.event('worker.ready', () => true, since);
  t.match(ready, { pid: worker.pid, concurrency: 2 });
  t.equal(readFileSync(folder.file('worker.pid'), 'utf8'), `${worker.pid}\n`);
  t.strictSame(await allGone(oldChildren), [], 'the old children are gone');
  t.equal((await folder.umbel(['call', 'tasks.version', '--wait'])).stdout, '"new"\n');
  t.equal(worker.children().length, 2);

  // It can be done again, from a process that was itself executed in place.
  const again = worker.now();
  worker.kill('SIGHUP');
  t.match(await worker.event('worker.ready', () => true, again), { pid: worker.pid });
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.throws(() => readFileSync(folder.file('worker.pid')), { code: 'ENOENT' });
  t.strictSame(await allGone(processesIn(folder.path)), []);
});

void t.test('HUP lets running tasks finish first', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1']).ready();
  await client.call({ task: 'tasks.gate', args: [folder.file('open')], kwargs: {}, options: { taskId: 'gate' } });
  await client.call({ task: 'tasks.add', args: [2, 2], kwargs: {}, options: { taskId: 'reserved' } });
  await worker.event('task.started', ({ taskId }) => taskId === 'gate');
  const since = worker.now();
  worker.kill('SIGHUP');
  await worker.event('worker.stop', () => true, since);
  writeFileSync(folder.file('open'), '');
  await worker.event('worker.ready', () => true, since);
  t.equal(await client.result('gate').get({ timeoutMs: 20_000 }), 'first');
  t.equal(await client.result('reserved').get({ timeoutMs: 20_000 }), 4);
  await worker.stop();
});

void t.test('TERM during a restart stops the worker', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1', '--pidfile', 'worker.pid']).ready();
  await client.call({ task: 'tasks.gate', args: [folder.file('open')], kwargs: {}, options: { taskId: 'gate' } });
  await worker.event('task.started');
  worker.kill('SIGHUP');
  await worker.event('worker.restart');
  worker.kill('SIGTERM');
  await worker.event('worker.stop', ({ message }) => /does not start again/.test(message));
  writeFileSync(folder.file('open'), '');
  t.strictSame(await worker.end(), { code: 0, signal: null });
  t.throws(() => readFileSync(folder.file('worker.pid')), { code: 'ENOENT' });
  t.equal(await client.result('gate').get({ timeoutMs: 20_000 }), 'first');
});

void t.test('HUP several times at once is one restart; HUP while starting is one after it', async (t) => {
  const folder = new LiveFolder(t);
  folder.write(
    'tasks.mts',
    `import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
console.log('loading');
while (!existsSync('${folder.file('go')}')) await sleep(5);
export const add = (x: number, y: number) => x + y;
`,
  );
  const worker = folder.worker(['-A', 'tasks.mts', '-c', '1']);
  await worker.event('task.output', ({ message }) => message === 'loading');
  worker.kill('SIGHUP');
  writeFileSync(folder.file('go'), '');
  await worker.event('worker.restart');
  await worker.count('worker.ready', 2);

  // It cannot be over before the last of them.
  rmSync(folder.file('go'));
  for (let n = 0; n < 3; n += 1) worker.kill('SIGHUP');
  writeFileSync(folder.file('go'), '');
  await worker.count('worker.ready', 3);
  t.equal((await folder.umbel(['call', 'tasks.add', '--args', '[2, 2]', '--wait'])).stdout, '4\n');
  t.equal(worker.all('worker.restart').length, 2);
  t.strictSame(await worker.stop(), { code: 0, signal: null });
});

void t.test('HUP is refused while the configuration or a module is bad, and the worker carries on', async (t) => {
  const folder = new LiveFolder(t);
  const good = "export const version = () => 'good';\n";
  folder.write('tasks.js', good);
  folder.write('umbel.toml', '[worker]\nconcurrency = 1\n');
  folder.write('router.js', 'export default () => null;\n');
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.js']).ready();
  const children = worker.children();

  const refusals: readonly (readonly [file: string, text: string, repaired: string, message: RegExp])[] = [
    ['umbel.toml', '[worker]\nconcurency = 1\n', '', /restart refused.+worker\.concurency is not a setting.+umbel\.toml:2/],
    [
      'umbel.toml',
      '[result]\nbackend = "redis://h/x"\n',
      '',
      /restart refused.+the database of a Redis URL must be a number.+umbel\.toml:2/,
    ],
    ['umbel.toml', '[worker\n', '', /restart refused.+umbel\.toml:1/],
    ['umbel.toml', '[task]\nroutes = "no-router.js"\n', '', /restart refused.+router modules that are there, got .*no-router\.js/],
    [
      'umbel.toml',
      '[task]\nroutes = "router.js:none"\n',
      '',
      /restart refused.+router\.js:none of task\.routes must be an exported function/,
    ],
    ['umbel.toml', '[task]\nroutes = ["tasks.js:nothing", "tasks.js:version"]\n', '', /restart refused.+tasks\.js:nothing/],
    ['tasks.js', '\nthrow new Error("half an edit");\n', good, /restart refused.+tasks\.js:2:7: Error: half an edit/],
    ['tasks.js', 'await new Promise(() => {});\n', good, /restart refused.+never settles/],
    ['tasks.js', 'process.exit(3);\n', good, /restart refused.+tasks\.js:1:9: Error: it ended the process with status 3/],
  ];
  for (const [file, text, repaired, message] of refusals) {
    folder.write(file, text);
    const since = worker.now();
    worker.kill('SIGHUP');
    t.match((await worker.event('worker.restart-refused', () => true, since)).message, message);
    folder.write(file, repaired);
    t.strictSame(worker.children(), children, 'the same children go on');
    const called = await client.call({ task: 'tasks.version', args: [], kwargs: {}, options: {} });
    t.equal(await called.get({ timeoutMs: 20_000 }), 'good');
  }
  t.equal(worker.all('worker.restart').length, 0);
  t.strictSame(await worker.stop(), { code: 0, signal: null });
});

void t.test('HUP under load loses no task and runs none twice', async (t) => {
  const folder = new LiveFolder(t);
  const count = 1500;
  folder.write(
    'tasks.ts',
    `import { appendFileSync } from 'node:fs';
import { task } from 'umbel';
const append = (n: number): number => { appendFileSync('${folder.file('ran')}', n + '\\n'); return n; };
export const early = append;
export const late = task({ acksLate: true }, append);
`,
  );
  folder.write('ran', '');
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '2']).ready();
  let since = 0;
  const sent: Promise<unknown>[] = [];
  for (let n = 0; n < count; n += 1) {
    const call = client.call<number>({ task: n % 2 === 0 ? 'tasks.early' : 'tasks.late', args: [n], kwargs: {}, options: {} });
    sent.push(call.then((result) => result.get({ timeoutMs: 120_000 })));
    if (n % 500 === 250) {
      // The messages of this third are on their way while the worker restarts.
      await worker.event('task.succeeded', () => true, since);
      worker.kill('SIGHUP');
      await worker.event('worker.restart', () => true, since);
      since = worker.now();
      // A HUP while the new program starts has nothing to say; the next one is for the worker that is ready.
      await worker.event('worker.ready', () => true, since);
      since = worker.now();
    }
  }
  const results = await Promise.all(sent);
  t.strictSame(
    results,
    Array.from({ length: count }, (_, n) => n),
    'every task has its result',
  );
  const ran = folder
    .read('ran')
    .trimEnd()
    .split('\n')
    .map(Number)
    .toSorted((a, b) => a - b);
  t.strictSame(ran, results, 'and ran once');
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.ok(worker.all('worker.ready').length >= 3, 'there were restarts');
});

void t.test('systemd hears of a restart as a reload and not as a stop, and gets its signs of life before and after', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  const systemd = await startNotifyReceiver(t, folder.file('notify'));
  // A socket holds ten messages for a receiver that is not given the processor, and what comes then is lost: no more than one sign of life a second.
  const env = { NOTIFY_SOCKET: folder.file('notify'), WATCHDOG_USEC: '2000000' };
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1'], { env }).ready();
  const heard = (from: number): string[] =>
    systemd.out
      .slice(from)
      .map((line) => /(READY|RELOADING|STOPPING|WATCHDOG)=1/.exec(line)?.[1] ?? line)
      .filter((word, index, words) => word !== words[index - 1]);
  await systemd.line(/READY=1/);
  const since = systemd.out.length;
  const restarted = worker.now();
  worker.kill('SIGHUP');
  await worker.event('worker.ready', () => true, restarted);
  await eventually(t, 'READY after the restart', () => systemd.out.slice(since).some((line) => line.includes('READY=1')));
  const ready = systemd.out.findLastIndex((line) => line.includes('READY=1'));
  await eventually(t, 'a sign of life after it', () => systemd.out.slice(ready).some((line) => line.includes('WATCHDOG=1')));
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  await systemd.line(/STOPPING=1/);
  const words = heard(0).filter((word) => /^[A-Z]+$/.test(word) && word !== 'WATCHDOG');
  t.strictSame(words, ['READY', 'RELOADING', 'READY', 'STOPPING']);
  t.ok(
    systemd.out.some((line) => /STATUS=\S+: starting/.test(line)),
    'the status line says how far it is',
  );
  t.ok(systemd.out.findIndex((line) => line.includes('WATCHDOG=1')) < systemd.out.findIndex((line) => line.includes('READY=1')));
});
