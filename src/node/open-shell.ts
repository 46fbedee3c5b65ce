/**
 * What a shell gives to whoever types in it: a client that is connected, the tasks, and ways to call them.
 *
 * Owns the names. Tasks are loaded in this process, as their author's program would: `add.delay(2, 3)` sends, `add(2, 3)` runs here.
 */
import { embedApi } from '../child/embed-api.ts';
import type { Client } from '../client/client.ts';
import type { Config } from '../config/config.ts';
import { ControlClient } from '../control/control-client.ts';
import { State } from '../event/state.ts';
import { createLogger } from '../log/create-logger.ts';
import { loadTaskModules } from '../task/loader.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { Signature } from '../task/signature.ts';
import { type Task, type TaskHandle, task, taskHandle, taskStateOf } from '../task/task.ts';
import { chain, chord, chunks, group, signature, xmap, xstarmap } from '../task/workflow.ts';
import { openClient } from './open-client.ts';

export interface Shell {
  /** By the names they have in the shell. */
  readonly names: Readonly<Record<string, unknown>>;
  /** Names of tasks there are, as workers know them. */
  readonly tasks: readonly string[];
  readonly broker: string;
  stop(): Promise<void>;
}

/** Connected. `withTasks` false: no task module is loaded. Throws what loading and connecting throw. */
export async function openShell(config: Config, env: NodeJS.ProcessEnv, withTasks: boolean): Promise<Shell> {
  embedApi();
  const { settings } = config;
  const registry = withTasks ? await loadTaskModules(settings.worker_tasks, process.cwd()) : null;
  const client = openClient(config, env);
  await client.start();
  const log = createLogger({ level: 'warning', format: 'text', processName: 'umbel' });
  const control = new ControlClient({
    broker: client.broker,
    namespace: settings.control_exchange,
    acceptContent: settings.accept_content,
    log,
  });
  const tasks = tasksOf(registry);
  return {
    names: { ...shortNames(tasks), ...ownNames(client, control, tasks) },
    tasks: Object.keys(tasks),
    broker: client.broker.displayUrl,
    stop: async () => {
      await control.stop();
      await client.stop();
    },
  };
}

type Tasks = Readonly<Record<string, TaskHandle<unknown[], unknown>>>;

function ownNames(client: Client, control: ControlClient, tasks: Tasks): Record<string, unknown> {
  return {
    app: client,
    celery: client,
    control,
    tasks,
    taskHandle: (name: string) => tasks[name] ?? taskHandle(name),
    result: (id: string) => client.result(id),
    ...{ Signature, State, chain, chord, chunks, group, signature, xmap, xstarmap },
  };
}

/** As tasks, also what a module exports as a plain function. */
function tasksOf(registry: TaskRegistry | null): Tasks {
  const definitions = registry?.names().flatMap((name) => registry.get(name) ?? []) ?? [];
  return Object.fromEntries(
    definitions.map(({ name, fn, exported }) => [name, isTask(exported) ? exported : task({ name }, fn as AnyFunction)]),
  );
}

type AnyFunction = (...args: unknown[]) => unknown;

function isTask(value: unknown): value is Task<unknown[], unknown> {
  return taskStateOf(value) !== undefined;
}

/** The last part of a task's name, where it is a name in JavaScript and no other task ends like it. */
function shortNames(tasks: Tasks): Record<string, unknown> {
  const byShort = Map.groupBy(Object.entries(tasks), ([name]) => name.slice(name.lastIndexOf('.') + 1));
  return Object.fromEntries(
    [...byShort].flatMap(([short, found]) => {
      const [only, ...others] = found;
      return only === undefined || others.length > 0 || !/^[A-Za-z_$][\w$]*$/.test(short) ? [] : [[short, only[1]]];
    }),
  );
}
