/** A worker with the benchmark's tasks, logging at level info so that its ready line can be seen. */
import { join } from 'node:path';
import { WorkerProcess } from '../scripts/worker-process.ts';

export function startWorker(
  umbel: string,
  folder: string,
  url: string,
  children: number,
  more: readonly string[] = [],
  tasks = 'noop.ts',
  backend = url,
): WorkerProcess {
  return new WorkerProcess({
    command: umbel,
    args: [
      'worker',
      '-A',
      join(import.meta.dirname, 'tasks', tasks),
      '-b',
      url,
      '-c',
      String(children),
      '-l',
      'info',
      '--log-format',
      'json',
      '-n',
      'bench@localhost',
      ...more,
    ],
    cwd: folder,
    env: { UMBEL_RESULT_BACKEND: backend },
    isReady: (line) => line.includes('"worker.ready"'),
  });
}
