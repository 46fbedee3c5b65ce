/** docs/json-output.md is true: each command on it is run against a worker that has something of everything, and prints what the page says. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { documentedShapes, misfits } from './json-shapes.ts';
import { LiveFolder } from './live-folder.ts';

// Near that of make test: there are thirty commands, and a busy machine takes five seconds to start one.
t.setTimeout(290_000);

const tasks = `
import { existsSync } from 'node:fs';
import { task } from 'umbel';
export const blocked = task({ name: 'proj.blocked' }, async (file) => {
  while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 20));
});
`;

t.test('a shape that does not fit is noticed', async (t) => {
  t.same(misfits({ a: 1, b: ['x'], 'c@d': { ok: true } }, { a: 'integer', b: ['text'], '<node>': { ok: 'boolean' }, 'e?': 'text' }), []);
  t.same(misfits({ a: 1.5 }, { a: 'integer' }), ['$.a: integer, got 1.5']);
  t.same(misfits({ a: null }, { a: 'any' }), ['$.a: any, got null']);
  t.same(misfits({}, { a: 'integer' }), ['$.a: is missing']);
  t.same(misfits({ a: 1, more: 1 }, { a: 'integer' }), ['$.more: is not in the page']);
  t.same(misfits([{ a: 'x' }, { a: 1 }], [{ a: 'text' }]), ['$[1].a: text, got 1']);
  t.same(misfits([], { a: 'text' }), ['$: an object, got []']);
});

t.test('what the commands print', async (t) => {
  const shapes = documentedShapes(readFileSync(new URL('../../docs/json-output.md', import.meta.url), 'utf8'));
  t.ok(shapes.length >= 20);
  const folder = new LiveFolder(t);
  folder.write('tasks.mjs', tasks);
  const worker = folder.worker(['-A', 'tasks.mjs', '-c', '1', '-n', 'w@here', '-E', '--heartbeat-interval', '0.2'], {
    env: { UMBEL_WORKER_CONTROL_SOCKET: 'ctl.sock', UMBEL_WORKER_UNKNOWN_TASKS: 'dead' },
  });
  await worker.ready();
  const client = await folder.client();
  const send = (task: string, taskId: string, countdown?: number) =>
    client.call({ task, args: ['go'], kwargs: {}, options: countdown === undefined ? { taskId } : { taskId, countdown } });
  await send('proj.blocked', 'runs');
  await worker.event('task.started', ({ taskId }) => taskId === 'runs');
  await send('proj.blocked', 'waits');
  await send('proj.blocked', 'later', 300);
  await send('proj.unknown', 'aside');
  await worker.event('task.received', ({ taskId }) => taskId === 'waits');
  await worker.event('task.unregistered', ({ taskId }) => taskId === 'aside');
  await folder.umbel(['control', 'revoke', 'gone', '-t', '30', '-d', 'w@here']);

  const filled = new Set<string>();
  for (const { words, shape } of shapes) {
    const [command = ''] = words;
    if (command === 'events') continue;
    const remote = ['inspect', 'control', 'status'].includes(command) ? ['-d', 'w@here', '-t', '30'] : [];
    const socket = command === 'ctl' ? ['--socket', folder.file('ctl.sock')] : [];
    const { status, stdout, stderr } = await folder.umbel([...words, ...remote, ...socket, '--json']);
    t.equal(status, 0, `${words.join(' ')}: ${stderr}`);
    const lines = stdout.trimEnd().split('\n');
    if (command !== 'dead') t.equal(lines.length, 1, `${words.join(' ')}: one line`);
    for (const line of lines) if (line !== '') t.same(misfits(JSON.parse(line), shape), [], words.join(' '));
    if (stdout !== '' && !/^\{"w@here":\[\]\}/.test(stdout)) filled.add(words.join(' '));
  }
  for (const { words } of shapes)
    if (['inspect', 'dead'].includes(words[0] ?? '')) t.ok(filled.has(words.join(' ')), `${words.join(' ')} had something to show`);

  const events = folder.start(['events', '--json']);
  const { shape } = shapes.find(({ words }) => words[0] === 'events') ?? {};
  const beat = JSON.parse(await events.line(/worker-heartbeat/)) as unknown;
  t.same(misfits(beat, shape), []);
  t.match(await events.stop('SIGINT'), { code: 0 });
  folder.write('go', '');
  t.match(await worker.stop(), { code: 0 });
});
