/**
 * Queues and routes of one configuration file, with real workers, on each broker: topic exchange, broadcast, a router module, the queue
 * of one worker; calls from outside, from inside tasks, from callbacks; results as replies.
 */
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { CallOptions } from '../../src/task/call-options.ts';
import { eventually } from '../pool/eventually.ts';
import { type BrokerKind, openBroker } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import { startedClient } from './started-client.ts';

const tasks = `
import { appendFileSync } from 'node:fs';
import { currentTask, task, taskHandle } from 'umbel';

export const where = () => {
  const { hostname, deliveryInfo } = currentTask();
  return { hostname, ...deliveryInfo };
};
export const video = where;
export const routed = task({}, () => where());
export const own = () => where();
export const reload = (file: string) => appendFileSync(file + '.' + currentTask().hostname, 'x');
const named = taskHandle('tasks.note');
export const note = (file: string, given?: unknown) => appendFileSync(file, JSON.stringify({ ...where(), given }) + '\\n');
export const caller = async (file: string) => { await named.applyAsync({ args: [file] }); };
export const insists = async (routingKey: string) => {
  try {
    await named.applyAsync({ args: ['x'], exchange: 'media', routingKey, mandatory: true });
    return 'sent';
  } catch (error) {
    return error.code + ': ' + error.message;
  }
};
`;

const router = `
export function byName({ name, args, options }) {
  if (name === 'tasks.routed') return { queue: 'video', routingKey: 'video.' + args.length, priority: 4 };
  return null;
}
`;

interface Place {
  readonly exchange: string;
  readonly routingKey: string;
  readonly hostname: string;
  readonly priority: number | null;
}

async function scene(t: Test, kind: BrokerKind): Promise<void> {
  const folder = new LiveFolder(t);
  const { url } = await openBroker(t, kind, folder);
  folder.write('tasks.ts', tasks);
  folder.write('router.ts', router);
  folder.write(
    'umbel.toml',
    `
[broker]
url = "${url}"
[result]
backend = "${kind === 'sqlite' ? url : 'rpc://'}"
[queues.main]
[queues.video]
exchange = "media"
exchange_type = "topic"
routing_key = "video.#"
[queues.reload]
broadcast = true
[task]
default_queue = "main"
routes = ["router.ts:byName", { "tasks.video" = { queue = "video", routing_key = "video.small" }, "tasks.reload" = "reload", "tasks.no*" = "video" }]
[worker]
direct = true
tasks = ["tasks.ts"]
`,
  );
  const [first, second] = await Promise.all([
    folder.worker(['-c', '1', '-n', 'first@h', '-Q', 'main,reload']).ready(),
    folder.worker(['-c', '1', '-n', 'second@h', '-X', 'main']).ready(),
  ]);
  const client = await startedClient(t, folder);
  const call = async (name: string, args: readonly unknown[] = [], options: CallOptions = {}): Promise<Place> => {
    const result = await client.call<Place>({ task: `tasks.${name}`, args, kwargs: {}, options });
    const place = await result.get({ timeoutMs: 30_000 });
    return place;
  };
  t.match(await call('where'), { hostname: 'first@h', exchange: '' });
  t.match(await call('video'), { hostname: 'second@h', exchange: 'media' });
  t.match(await call('routed', [], { priority: 1 }), { hostname: 'second@h', exchange: 'media', priority: 1 });
  t.match(await call('routed'), { routingKey: 'video.0', priority: 4 });
  t.match(await call('own', [], { queue: 'video' }), { hostname: 'second@h', exchange: 'media', routingKey: 'video.#' });
  t.match(await call('where', [], { exchange: 'media', routingKey: 'video.any' }), { hostname: 'second@h', exchange: 'media' });
  t.match(await call('where', [], { queue: 'first@h.dq2' }), { hostname: 'first@h' });
  t.match(await call('where', [], { queue: 'second@h.dq2' }), { hostname: 'second@h' });

  /** A file is there before what is written to it. */
  const written = (name: string): boolean => existsSync(folder.file(name)) && folder.read(name) !== '';
  const astray = /no queue takes the message for exchange 'media' with routing key 'audio\.any'/;
  const options = { exchange: 'media', routingKey: 'audio.any', mandatory: true };
  const mandatory = client.call({ task: 'tasks.where', args: [], kwargs: {}, options });
  await t.rejects(mandatory, { code: 'BROKER_REFUSED', message: astray }, 'a mandatory message that no queue takes');
  t.match(await call('insists', ['audio.any']), astray);
  t.match(await call('insists', ['audio.any']), /^BROKER_REFUSED: /, 'and so inside a task');
  t.match(await call('where', [], { exchange: 'media', routingKey: 'video.any', mandatory: true }), { exchange: 'media' });

  await call('caller', [folder.file('called')]);
  await eventually(t, 'the called task has run', () => written('called'));
  t.match(JSON.parse(folder.read('called')), { hostname: 'second@h', exchange: 'media' }, 'a call from inside a task is routed');

  await client.call({ task: 'tasks.reload', args: [folder.file('reloaded')], kwargs: {}, options: {} });
  const copies = ['reloaded.first@h', 'reloaded.second@h'];
  await eventually(t, 'every worker has its copy', () => copies.every(written));
  for (const copy of copies) t.equal(folder.read(copy), 'x', `${copy}: once`);

  const tell = async (method: 'control' | 'inspect', ...words: readonly string[]): Promise<unknown> => {
    const asked = await folder.umbel([method, ...words, '-d', 'second@h', '-t', '30', '-j']);
    // As Celery answers: a list of what has arrived, or a table.
    const [answer] = [JSON.parse(asked.stdout)].flat() as readonly Readonly<Record<string, unknown>>[];
    return answer?.['second@h'];
  };
  const reloads = async (): Promise<number> =>
    ((await tell('inspect', 'active_queues')) as { readonly alias: string | null }[]).filter(({ alias }) => alias === 'reload').length;
  const said = (event: string): string[] => second.all(event).map(({ message }) => String(message));
  t.equal(await reloads(), 1);
  // By the name that -Q and routes have for it.
  for (const name of ['reload', 'reload', 'nowhere'])
    t.strictSame(await tell('control', 'cancel_consumer', name), { ok: `no longer consuming from ${name}` });
  t.equal(await reloads(), 0);
  t.strictSame(said('control.cancel-consumer'), ['No longer consuming from reload'], 'what was not consumed from has not ended');
  for (let times = 0; times < 2; times++) t.strictSame(await tell('control', 'add_consumer', 'reload'), { ok: 'add consumer reload' });
  t.equal(await reloads(), 1);
  t.strictSame(said('control.add-consumer'), ['Started consuming from reload'], 'once');
  await client.call({ task: 'tasks.reload', args: [folder.file('again')], kwargs: {}, options: {} });
  await eventually(t, 'it has its copy again', () => ['again.first@h', 'again.second@h'].every(written));
  for (const worker of [first, second]) t.strictSame(await worker.stop(), { code: 0, signal: null });
}

void t.test('embedded broker', (t) => scene(t, 'sqlite'));
void t.test('Redis, results as replies', (t) => scene(t, 'redis'));
void t.test('RabbitMQ, results as replies', { timeout: 120_000 }, (t) => scene(t, 'rabbitmq'));
