/** `umbel worker`: run tasks until a signal says stop. */
import { settingsWithFlagOn } from '../config/settings-table.ts';
import { messageOf, UmbelError } from '../errors.ts';
import { WorkerNode } from '../node/worker-node.ts';
import type { Command } from './command.ts';

export const command: Command = {
  arguments: [],
  description:
    'Takes tasks from the broker and runs them in child processes. Without a configuration it uses the embedded broker in the state folder of the user. TERM and Ctrl-C stop it when running tasks are done; HUP restarts it in place.',
  examples: [
    'umbel worker -A tasks.ts',
    'umbel -A jobs worker -c 4 -Q celery,mail -l info',
    "umbel worker -A tasks.ts -n worker1@%h -f '/var/log/umbel/%n%I.log'",
  ],
  options: [],
  settings: settingsWithFlagOn('worker'),
  outputIsCourtesy: true,
  async run(ctx) {
    const config = ctx.loadConfig();
    const { worker_workdir: workdir } = config.settings;
    if (workdir !== null) changeFolder(workdir, config.origin('worker_workdir').text);
    const node = new WorkerNode({
      config,
      env: ctx.env,
      reloadConfig: () => ctx.loadConfig(),
      show: (text) => {
        if (!ctx.quiet) ctx.stdout(text);
      },
    });
    return node.run();
  },
};

function changeFolder(workdir: string, where: string): void {
  try {
    process.chdir(workdir);
  } catch (error) {
    throw new UmbelError(
      'CONFIG_INVALID',
      `worker.workdir must be a folder one can change to, got ${workdir}: ${messageOf(error)} (${where})`,
      { cause: error },
    );
  }
}
