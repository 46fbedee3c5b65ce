/** `umbel worker`: run tasks until a signal says stop. */
import { settingsWithFlagOn } from '../config/settings-table.ts';
import { WorkerNode } from '../node/worker-node.ts';
import { takeReadiness } from '../os/detached.ts';
import { rootWarning } from '../os/privileges.ts';
import type { Command } from './command.ts';
import { detach, detachOption, executableOption, mustDetach } from './detach.ts';
import { becomeWorkerProcess } from './worker-process.ts';

export const command: Command = {
  arguments: [],
  description:
    'Takes tasks from the broker and runs them in child processes. Without a configuration it uses the embedded broker in the state folder of the user. TERM and Ctrl-C stop it when running tasks are done; HUP restarts it in place.',
  examples: [
    'umbel worker -A tasks.ts',
    'umbel -A jobs worker -c 4 -Q celery,mail -l info',
    "umbel worker -A tasks.ts -n worker1@%h -f '/var/log/umbel/%n%I.log'",
  ],
  options: [detachOption, executableOption],
  settings: settingsWithFlagOn('worker'),
  outputIsCourtesy: true,
  async run(ctx) {
    const config = ctx.loadConfig();
    if (mustDetach(ctx)) return detach(ctx, config);
    const isReady = takeReadiness(ctx.env);
    becomeWorkerProcess(ctx, config);
    const node = new WorkerNode({
      config,
      env: ctx.env,
      reloadConfig: () => ctx.loadConfig(),
      onBanner: (banner) => {
        if (!ctx.quiet) ctx.stdout(banner);
        const warning = rootWarning();
        if (warning !== null) ctx.stderr(`umbel: ${warning}`);
      },
      onReady: isReady,
    });
    return node.run();
  },
};
