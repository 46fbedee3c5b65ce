/**
 * A queue in RabbitMQ, a client and workers on it: what the live tests of outages share. Results are in a file, which no outage of the
 * broker touches. Every start of a task is a line in a log.
 */
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import { App, taskHandle } from '../../src/client/umbel.ts';
import type { AsyncResult } from '../../src/task/async-result.ts';
import { binary } from '../rabbitmq-control.ts';
import type { RabbitmqServer } from '../rabbitmq-server.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';

const tasksModule = (log: string): string => `
import { existsSync, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TaskContext, task } from 'umbel';
const log = openSync('${log}', 'a');
const still = new Int32Array(new SharedArrayBuffer(4));
const began = (context: TaskContext): string => {
  const how = context.deliveryInfo.redelivered ? 'redelivered' : 'first';
  writeSync(log, \`\${context.id} \${how} \${process.ppid}\\n\`);
  return how;
};
const waitFor = async (context: TaskContext, file: string): Promise<string> => {
  const how = began(context);
  while (!existsSync(file)) await sleep(5);
  return context.signal.aborted ? 'aborted' : how;
};
export const early = task({ bind: true }, waitFor);
export const late = task({ bind: true, acksLate: true }, waitFor);
/** As soon as its signal is aborted. */
export const obedient = task({ bind: true, acksLate: true }, async (context, file: string): Promise<string> => {
  const how = began(context);
  while (!existsSync(file)) {
    if (context.signal.aborted) throw context.signal.reason;
    await sleep(5);
  }
  return how;
});
/** Blocks its child, pipe and all. */
export const step = task({ bind: true, acksLate: true }, (context, file: string | null): void => {
  began(context);
  while (file !== null && !existsSync(file)) Atomics.wait(still, 0, 0, 5);
});
export const add = (x: number, y: number): number => x + y;
`;

export class AmqpScene {
  readonly folder: LiveFolder;
  readonly app: App;
  readonly queue: string;
  readonly #server: RabbitmqServer;
  readonly #log: string;
  readonly #results: string;

  private constructor(t: Test, server: RabbitmqServer, queue: string) {
    this.folder = new LiveFolder(t);
    this.queue = queue;
    this.#server = server;
    this.#log = this.folder.write('starts.log', '');
    this.#results = this.folder.sqliteUrl('results.db');
    this.folder.write('tasks.ts', tasksModule(this.#log));
    this.app = new App({ broker: server.url(), backend: this.#results, defaultQueue: queue });
    t.teardown(() => this.app.stop());
  }

  static async open(t: Test, server: RabbitmqServer, queue: string): Promise<AmqpScene> {
    const scene = new AmqpScene(t, server, queue);
    await scene.app.start();
    return scene;
  }

  /** Not yet ready. `url` instead of the server's own. */
  start(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}, url = this.#server.url()): LiveWorker {
    return this.folder.worker(['-A', this.folder.file('tasks.ts'), '-b', url, '-Q', this.queue, ...args], {
      env: { UMBEL_RESULT_BACKEND: this.#results, ...env },
    });
  }

  /** Of a task that waits for the file with its own name. */
  call(task: 'early' | 'late' | 'obedient', id: string): Promise<AsyncResult<string>> {
    return taskHandle<[string], string>(`tasks.${task}`).applyAsync({ args: [this.folder.file(id)], taskId: id });
  }

  async step(id: string, blocks = false): Promise<void> {
    await taskHandle<[string | null], void>('tasks.step').applyAsync({ args: [blocks ? this.folder.file(id) : null], taskId: id });
  }

  /** Lets it end. */
  open(...ids: readonly string[]): void {
    for (const id of ids) this.folder.write(id, '');
  }

  /** Task id and how its message came, in the order of the starts. */
  starts(): readonly (readonly [string, string])[] {
    const lines = readFileSync(this.#log, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => line.split(' ') as [string, string]).map(([id, how]) => [id, how] as const);
  }

  /** Ready and unacknowledged messages. */
  async messages(): Promise<readonly [number, number]> {
    const rows = await this.#server.control.list('queues', ['name', 'messages_ready', 'messages_unacknowledged']);
    const row = rows.split('\n').map((line) => line.split('\t'));
    const [, ready, unacknowledged] = row.find(([name]) => name === this.queue) ?? [];
    return [Number(ready), Number(unacknowledged)];
  }

  /** Who consumes from the queue, as the server names its processes. */
  async consumer(): Promise<{ readonly channel: string; readonly connection: string }> {
    const said = await this.#server.control.evaluate(`
      Channels = [proplists:get_value(channel_pid, Row) || Row <- rabbit_amqqueue:consumers_all(<<"/">>),
        element(4, proplists:get_value(queue_name, Row)) =:= ${binary(this.queue)}],
      [Channel] = lists:usort(Channels),
      {Channel, rabbit_channel:info(Channel, [connection])}`);
    const [channel = '', connection = ''] = said.match(/<[\d.]+>/g) ?? [];
    return { channel, connection };
  }
}
