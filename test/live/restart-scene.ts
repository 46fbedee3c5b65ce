/**
 * Workers in the background that are restarted, and tasks with late acknowledgement that keep coming meanwhile: none is lost and none runs twice.
 *
 * Owns the folder of the workers, the tasks that were sent, and what is known of each.
 */
import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { BackgroundFolder } from './background-folder.ts';
import { type BrokerKind, openBroker } from './live-broker.ts';
import { RunLog } from './run-log.ts';
import { startedApp } from './started-client.ts';

/** Notes every start and end in the file RUN_LOG names, and gives back which version of the code it is. */
const tasks = (version: number): string => `import { openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { task } from 'umbel';
const log = openSync(process.env.RUN_LOG, 'a');
const note = (what, { id, deliveryInfo }) =>
  writeSync(log, [what, id, 'umbel', process.ppid, process.pid, deliveryInfo.redelivered ? 1 : 0, process.hrtime.bigint()].join(' ') + '\\n');
export const work = task({ bind: true, acksLate: true }, async (context, ms) => {
  note('start', context);
  await delay(ms);
  note('end', context);
  return ${version};
});
`;
/** While something is waited for, no task starts or ends for so long: it hangs. */
const hangsAfterMs = 60_000;
/** A command that starts five nodes one after the other waits for fifteen processes, each of which takes a busy machine seconds. */
const commandLimitMs = 200_000;

export class RestartScene {
  readonly folder: BackgroundFolder;
  readonly log: RunLog;
  readonly #app: App;
  /** The file of the embedded broker; null: it is another one. */
  readonly #database: string | null;
  readonly #running: Promise<void>[] = [];
  readonly #sent: string[] = [];
  #over = false;

  private constructor(folder: BackgroundFolder, log: RunLog, app: App, database: string | null) {
    this.folder = folder;
    this.log = log;
    this.#app = app;
    this.#database = database;
  }

  static async set(t: Test, kind: BrokerKind, toml: string): Promise<RestartScene> {
    const folder = new BackgroundFolder(t);
    const { url } = await openBroker(t, kind, folder);
    const backend = kind === 'rabbitmq' ? folder.sqliteUrl('results.db') : url;
    folder.write('runs', '');
    // `umbel multi` makes them, a worker does not.
    for (const name of ['run', 'log']) mkdirSync(folder.file(name));
    const worker =
      '[worker]\nconcurrency = 1\ntasks = ["tasks.js"]\npidfile = "run/%n.pid"\nlogfile = "log/%n.log"\nlog_format = "json"\nloglevel = "info"\n';
    folder.write('umbel.toml', `[broker]\nurl = "${url}"\n[result]\nbackend = "${backend}"\n${worker}${toml}`);
    const log = new RunLog(folder.file('runs'), hangsAfterMs);
    t.teardown(() => log.close());
    const app = await startedApp(t, { broker: url, backend });
    const scene = new RestartScene(folder, log, app, kind === 'sqlite' ? url.replace(/^sqlite:\/\/\//, '') : null);
    scene.deploy(0);
    t.teardown(() => (scene.#over = true));
    return scene;
  }

  /** In one step: a worker is ready when one child is, and another that still starts must not read half a module. */
  deploy(version: number): void {
    renameSync(this.folder.write('tasks.new', tasks(version)), this.folder.file('tasks.js'));
  }

  umbel(...args: readonly string[]) {
    return this.folder.umbel(args, { env: { RUN_LOG: this.folder.file('runs') }, limitMs: commandLimitMs });
  }

  /** One more; its result, which is the version of the code that has run it. */
  async call(ms: number): Promise<number> {
    const taskId = `work-${this.#sent.length}`;
    this.#sent.push(taskId);
    const result = await this.#app.call<number>({ task: 'tasks.work', args: [ms], kwargs: {}, options: { taskId } });
    return result.get({ timeoutMs: hangsAfterMs });
  }

  /** So many at a time. Short tasks, and now and then one that a stop has to wait for. */
  load(callers: number): void {
    const caller = async (): Promise<void> => {
      while (!this.#over) await this.call(this.#sent.length % 20 === 0 ? 300 : 10 + (this.#sent.length % 10));
    };
    for (let n = 0; n < callers; n += 1) this.#running.push(caller());
    // Looked at when it is over.
    for (const one of this.#running) one.catch(() => {});
  }

  /** No more tasks are sent; each that was sent must have started once, ended once and given its result. */
  async verdict(t: Test): Promise<void> {
    this.#over = true;
    await Promise.all(this.#running).catch((error: unknown) => {
      t.comment(this.#historyOf(String(/work-\d+/.exec(String(error)))));
      throw error;
    });
    const lines = this.log.end();
    const counted = (wanted: string): string[] => lines.filter(({ what }) => what === wanted).map(({ taskId }) => taskId);
    t.same(counted('start').toSorted(), this.#sent.toSorted(), 'each started once');
    t.same(counted('end').toSorted(), this.#sent.toSorted(), 'and ended once');
    t.comment(`${this.#sent.length} tasks`);
  }

  /** What tasks and workers have said of it, and where the embedded broker has what it has. */
  #historyOf(taskId: string): string {
    const { folder, log } = this;
    const runs = log.lines.filter((line) => line.taskId === taskId).map((line) => JSON.stringify(line));
    const said = readdirSync(folder.file('log')).flatMap((file) => {
      const lines = folder.read(`log/${file}`).split('\n');
      const its = lines.filter((line) => line.includes(`"${taskId}"`) || line.includes(`[${taskId}]`));
      return [...its, `the last lines of ${file}:`, ...lines.slice(-20)];
    });
    return [`history of ${taskId}:`, ...runs, ...said, ...this.#rows()].join('\n');
  }

  #rows(): string[] {
    if (this.#database === null) return [];
    const database = new DatabaseSync(this.#database, { readOnly: true });
    const rows = ['kombu_message', 'umbel_consumer'].flatMap((table) =>
      database
        .prepare(`SELECT * FROM ${table}`)
        .all()
        .map(({ payload: _, ...row }) => `${table} ${JSON.stringify(row)}`),
    );
    database.close();
    return rows;
  }
}
