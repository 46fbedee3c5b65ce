/** One worker on the embedded broker of a folder of its own, and a client beside it. */
import type { Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';

export interface LiveScene {
  readonly folder: LiveFolder;
  readonly client: App;
  readonly worker: LiveWorker;
}

/** `tasks` is the text of the task module, `config` that of the umbel.toml. */
export async function openScene(t: Test, tasks: string, args: readonly string[], config = ''): Promise<LiveScene> {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', tasks);
  folder.write('umbel.toml', config);
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', ...args]).ready();
  return { folder, client, worker };
}
